/** Who is signed in, as the service has them at this moment. */
import { createContext, useContext, useState, type ReactNode } from 'react';

import { ViewerChangesDocument, ViewerDocument, type ViewerFieldsFragment } from '../api/operations';
import { useQuery } from '../api/query';
import { useLive } from '../live/live';
import { refused } from './session';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';

const ViewerContext = createContext<ViewerFieldsFragment | null>(null);

export function useViewer(): ViewerFieldsFragment {
  const viewer = useContext(ViewerContext);
  if (viewer === null) throw new Error('There is no viewer outside the signed-in part of the console.');
  return viewer;
}

/** Operators are no members. */
export function isOperator(viewer: ViewerFieldsFragment): boolean {
  return viewer.member === null;
}

export function readsLog(viewer: ViewerFieldsFragment): boolean {
  return isOperator(viewer) || viewer.accessLevel === 'ADMIN';
}

/** The catalogue holds for the whole association, so it is kept by administrators of the national body. */
export function keepsCatalogue(viewer: ViewerFieldsFragment): boolean {
  return viewer.national;
}

/** A source tells of members of every chapter. */
export function managesSources(viewer: ViewerFieldsFragment): boolean {
  return viewer.national;
}

/** A concern that is taken on is told to nobody else. */
export function keepsConcerns(viewer: ViewerFieldsFragment): boolean {
  return viewer.national;
}

/** A correction is the association's word against the portal's. */
export function correctsMembers(viewer: ViewerFieldsFragment): boolean {
  return viewer.national;
}

export function ViewerProvider({ children }: { children: ReactNode }) {
  const [{ data, error }, ask] = useQuery({ query: ViewerDocument });
  const askAgain = (): void => ask({ requestPolicy: 'network-only' });

  const [round, setRound] = useState(0);
  const variables = data?.viewer ? {} : null;

  const handlers = {
    // A heartbeat too: it comes first after an interruption, in which there may have been a change.
    onMessage: askAgain,
    onEnd: (): void => {
      askAgain();
      setRound(round + 1);
    },
  };
  useLive(ViewerChangesDocument, variables, ({ viewerChanges }) => viewerChanges, handlers, round);

  if (data?.viewer) return <ViewerContext value={data.viewer}>{children}</ViewerContext>;
  if (error) return <Failure error={error} onRetry={askAgain} />;
  // The service takes the token and knows nobody by it.
  if (data) queueMicrotask(() => refused('UNAUTHENTICATED'));
  return <Loading />;
}
