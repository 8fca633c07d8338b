/** The chapters as a tree, for choosing one. */
import { useEffect, useState } from 'react';
import { useClient } from 'urql';

import { OrganizationsDocument, type OrganizationsQuery } from '../api/operations';
import { isOperator, useViewer } from '../session/viewer';

type Organization = OrganizationsQuery['organizations']['edges'][number]['node'];

export interface Chapter {
  id: string;
  portalId: string;
  name: string | null;
  depth: number;
}

/** Those in which the viewer coordinates, parents before children, siblings by name. */
export function useChapters(): Chapter[] {
  const client = useClient();
  const viewer = useViewer();
  const [all, setAll] = useState<Organization[]>([]);

  useEffect(() => {
    let wanted = true;
    const load = async (found: Organization[], after: string | null): Promise<void> => {
      const { data } = await client.query(OrganizationsDocument, { after }, { requestPolicy: 'cache-and-network' });
      if (!data || !wanted) return;
      const organizations = [...found, ...data.organizations.edges.map(({ node }) => node)];
      const { hasNextPage, endCursor } = data.organizations.pageInfo;
      if (hasNextPage) await load(organizations, endCursor);
      else setAll(organizations);
    };
    void load([], null);
    return () => {
      wanted = false;
    };
  }, [client]);

  const coordinated = viewer.accesses.filter(({ accessLevel }) => ['COORDINATOR', 'ADMIN'].includes(accessLevel));
  const roots = isOperator(viewer) ? null : new Set(coordinated.map(({ organization }) => organization.id));
  return treeOf(all, roots);
}

function treeOf(all: Organization[], roots: Set<string> | null): Chapter[] {
  const known = new Set(all.map(({ id }) => id));
  const below = Map.groupBy(all, ({ parent }) => (parent && known.has(parent.id) ? parent.id : ''));
  const tree: Chapter[] = [];
  const walk = (parent: string, depth: number, inside: boolean): void => {
    for (const { id, portalId, name } of below.get(parent) ?? []) {
      const shown = inside || roots === null || roots.has(id);
      if (shown) tree.push({ id, portalId, name, depth });
      walk(id, shown ? depth + 1 : depth, shown);
    }
  };
  walk('', 0, false);
  return tree;
}
