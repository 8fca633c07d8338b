import { Button, Field, Heading, Label, Link, Search, Select, Table, Tag } from '@digdir/designsystemet-react';
import { useEffect, useRef, useState } from 'react';
import { useClient } from 'urql';
import { Link as To } from 'wouter';

import {
  MemberChangesDocument,
  MemberCountDocument,
  MembersDocument,
  RoleNamesDocument,
  type ActivationState,
  type MemberFilter,
  type MemberOrderField,
  type MemberRowFragment as Row,
} from '../api/operations';
import { useQuery } from '../api/query';
import { useAnchor } from '../live/anchor';
import { useHeld } from '../live/held';
import { useLive } from '../live/live';
import { useMarks } from '../live/marks';
import { useThrottled } from '../live/throttle';
import { useMessages } from '../messages';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';
import { News } from '../ui/News';
import { Pager } from '../ui/Pager';
import { StateTag } from '../ui/Tags';
import { Ago } from '../ui/Time';
import { useTitle } from '../ui/title';
import { useWords } from '../ui/words';
import { ChapterSelect } from './ChapterSelect';
import { usePlace } from './place';

type Column = 'name' | 'number' | 'chapter' | 'roles' | 'state' | 'updated' | 'new';

const ORDERS: Record<string, MemberOrderField> = { navn: 'NAME', nummer: 'MEMBER_NUMBER', endret: 'UPDATED_AT' };
const SEARCH_PAUSE_MS = 250;
const REFRESH_MS = 1_000;
const COUNT_MS = 5_000;

export function Members() {
  const text = useMessages();
  const client = useClient();
  const place = usePlace();
  const { page } = place;
  useTitle(text.members.title);

  const organizationId = place.get('lag');
  const search = place.get('sok');
  const state = place.get('status') as ActivationState | null;
  const role = place.get('rolle');
  const filter: MemberFilter = {
    ...(search && { search }),
    ...(state && { state: [state] }),
    ...(role && { role: [role] }),
  };
  const sorted = place.get('sorter') ?? 'navn';
  const descending = sorted.startsWith('-');
  const field = ORDERS[sorted.replace('-', '')] ?? 'NAME';
  const ends = page.before
    ? { last: page.size, before: page.before }
    : { first: page.size, ...(page.after && { after: page.after }) };
  const which = { ...(organizationId && { organizationId }), filter };
  const variables = { ...which, orderBy: { field, direction: descending ? 'DESC' : 'ASC' } as const, ...ends };

  const [result, ask] = useQuery({ query: MembersDocument, variables, requestPolicy: 'cache-and-network' });
  const { data, error } = result;
  const [{ data: counted }, count] = useQuery({
    query: MemberCountDocument,
    variables: which,
    requestPolicy: 'cache-and-network',
  });
  const current = JSON.stringify(result.operation?.variables) === JSON.stringify(variables);
  const fresh = data && current && !result.stale && !result.fetching ? data.members.changeCursor : undefined;
  const [anchor, lose] = useAnchor(JSON.stringify(which), fresh, async () => {
    const again = await client.query(MembersDocument, variables, { requestPolicy: 'network-only' });
    return again.data?.members.changeCursor;
  });

  const rows = data?.members.edges.map(({ node }) => node) ?? [];
  const shown = useRef(new Map<string, Row>());
  useEffect(() => {
    shown.current = new Map(rows.map((row) => [row.id, row]));
  });

  const [marks, mark] = useMarks<Column>();
  const refresh = useThrottled(() => ask({ requestPolicy: 'network-only' }), REFRESH_MS);
  const recount = useThrottled(() => count({ requestPolicy: 'network-only' }), COUNT_MS);
  const held = useHeld(JSON.stringify(variables), refresh);

  useLive(MemberChangesDocument, anchor ? { ...which, after: anchor } : null, ({ memberChanges }) => memberChanges, {
    onMessage(message) {
      if (message.__typename !== 'MemberChange') return;
      const { operation, memberId, member } = message;
      const before = shown.current.get(memberId);
      if (operation === 'UPDATED' && member) {
        // The row itself has changed already: the cache took the member from the message.
        if (before) {
          const columns = changedColumns(before, member);
          mark(memberId, columns);
          held.tell(text.announce.changed(member.displayName, columns.map((it) => labels[it]).join(', ')));
        }
        if (field === 'UPDATED_AT' || before?.displayName !== member.displayName) held.arrived();
        return;
      }
      if (operation === 'ADDED' && member) {
        mark(memberId, ['new']);
        held.tell(text.announce.added(member.displayName));
      } else if (before) {
        held.tell(text.announce.removed(before.displayName));
      }
      held.arrived();
      recount();
    },
    onEnd() {
      lose();
      recount();
    },
  });

  const labels: Record<Column, string> = { ...text.members.changedFields, new: text.members.added };
  const total = counted?.members.totalCount ?? null;
  const from = (page.number - 1) * page.size + 1;
  const { pageInfo } = data?.members ?? {};

  const sortable = (column: 'navn' | 'nummer' | 'endret') => ({
    sort: field !== ORDERS[column] ? ('none' as const) : descending ? ('descending' as const) : ('ascending' as const),
    onClick: () => place.show({ sorter: sorted === column ? `-${column}` : column === 'navn' ? null : column }),
  });

  return (
    <>
      <div className="title">
        <Heading level={1} data-size="lg">
          {text.members.title}
        </Heading>
        <p data-testid="count">{total === null ? ' ' : text.members.count(total)}</p>
      </div>
      <Filters />
      <News waiting={held.waiting} onShow={held.show} />
      {error && !data && <Failure error={error} onRetry={() => ask({ requestPolicy: 'network-only' })} />}
      {!data && !error && <Loading />}
      {data && rows.length === 0 && (
        <div className="empty">
          <Heading level={2} data-size="xs">
            {text.members.empty}
          </Heading>
          <p>{text.members.emptyHint}</p>
        </div>
      )}
      {rows.length > 0 && (
        <Table
          data-size="sm"
          data-color="neutral"
          hover
          border
          className="members"
          {...held.hand}
          data-testid="members"
          aria-busy={!current}
          aria-label={text.members.table}
        >
          <Table.Head>
            <Table.Row>
              <Table.HeaderCell {...sortable('navn')}>{text.members.columns.name}</Table.HeaderCell>
              <Table.HeaderCell {...sortable('nummer')} className="wide">
                {text.members.columns.number}
              </Table.HeaderCell>
              <Table.HeaderCell className="wide">{text.members.columns.chapter}</Table.HeaderCell>
              <Table.HeaderCell className="wide">{text.members.columns.roles}</Table.HeaderCell>
              <Table.HeaderCell>{text.members.columns.state}</Table.HeaderCell>
              <Table.HeaderCell {...sortable('endret')} className="wide">
                {text.members.columns.updated}
              </Table.HeaderCell>
            </Table.Row>
          </Table.Head>
          <Table.Body>
            {rows.map((row) => (
              <MemberTableRow key={row.id} row={row} changed={marks.get(row.id)} />
            ))}
          </Table.Body>
        </Table>
      )}
      {rows.length > 0 && (
        <Pager
          position={total === null ? '' : text.pager.position(from, from + rows.length - 1, Math.max(total, from + rows.length - 1))}
          size={page.size}
          onSize={(size) => place.show({ antall: size })}
          onPrevious={page.number > 1 && pageInfo?.startCursor ? () => place.turn('previous', pageInfo.startCursor!) : null}
          onNext={pageInfo?.hasNextPage && pageInfo.endCursor ? () => place.turn('next', pageInfo.endCursor!) : null}
        />
      )}
    </>
  );
}

function MemberTableRow({ row, changed }: { row: Row; changed: ReadonlySet<Column> | undefined }) {
  const text = useMessages();
  const words = useWords();
  const roles = notableRoles(row).map(words.role).join(', ') || text.none;
  const chapter = row.organization ? (row.organization.name ?? text.members.unnamed) : text.none;
  const mark = (column: Column) => (changed?.has(column) ? { 'data-changed': '' } : {});

  return (
    <Table.Row data-id={row.id} data-fresh={changed ? '' : undefined}>
      <Table.Cell {...mark('name')}>
        <Link asChild className="name" data-color="accent">
          <To href={`/medlemmer/${encodeURIComponent(row.id)}`}>{row.displayName}</To>
        </Link>
        {changed?.has('new') && (
          <Tag data-color="accent" data-size="sm" className="new">
            {text.members.added}
          </Tag>
        )}
        <span className="narrow">
          {chapter}
          <br />
          {roles}
        </span>
      </Table.Cell>
      <Table.Cell {...mark('number')} className="wide number">
        {row.memberNumber ?? text.none}
      </Table.Cell>
      <Table.Cell {...mark('chapter')} className="wide">
        {chapter}
      </Table.Cell>
      <Table.Cell {...mark('roles')} className="wide">
        {roles}
      </Table.Cell>
      <Table.Cell {...mark('state')}>
        <StateTag state={row.state} />
      </Table.Cell>
      <Table.Cell {...(changed ? { 'data-changed': '' } : {})} className="wide">
        <Ago at={row.updatedAt} />
      </Table.Cell>
    </Table.Row>
  );
}

function Filters() {
  const text = useMessages();
  const place = usePlace();
  const words = useWords();
  const [{ data }] = useQuery({ query: RoleNamesDocument });
  const filtered = ['sok', 'status', 'rolle', 'lag'].some((name) => place.get(name));

  return (
    <form className="filters" role="search" data-size="sm" onSubmit={(event) => event.preventDefault()}>
      <SearchField />
      <ChapterSelect />
      <Field>
        <Label>{text.members.role}</Label>
        <Select value={place.get('rolle') ?? ''} onChange={({ target }) => place.show({ rolle: target.value })}>
          <Select.Option value="">{text.members.all}</Select.Option>
          {data?.roles.map((role) => (
            <Select.Option key={role.id} value={role.code}>
              {words.role(role)}
            </Select.Option>
          ))}
        </Select>
      </Field>
      <Field>
        <Label>{text.members.state}</Label>
        <Select value={place.get('status') ?? ''} onChange={({ target }) => place.show({ status: target.value })}>
          <Select.Option value="">{text.members.all}</Select.Option>
          <Select.Option value="ACTIVE">{text.state.ACTIVE}</Select.Option>
          <Select.Option value="INACTIVE">{text.state.INACTIVE}</Select.Option>
        </Select>
      </Field>
      <Button
        variant="tertiary"
        disabled={!filtered}
        onClick={() => place.show({ sok: null, status: null, rolle: null, lag: null })}
      >
        {text.members.reset}
      </Button>
    </form>
  );
}

/** Searches when the typing pauses. */
function SearchField() {
  const text = useMessages();
  const place = usePlace();
  const wanted = place.get('sok') ?? '';
  const [typed, type] = useState(wanted);
  const pause = useRef<ReturnType<typeof setTimeout>>(undefined);
  const asked = useRef(wanted);

  if (wanted !== asked.current) {
    // Something else changed the search: the reset button, or the way back.
    asked.current = wanted;
    type(wanted);
  }
  useEffect(() => () => clearTimeout(pause.current), []);

  const change = (value: string): void => {
    type(value);
    clearTimeout(pause.current);
    pause.current = setTimeout(() => {
      const typing = asked.current !== '';
      asked.current = value.trim();
      place.show({ sok: value.trim() }, { replace: typing });
    }, SEARCH_PAUSE_MS);
  };

  return (
    <Field className="search">
      <Label>{text.members.search}</Label>
      <Search>
        <Search.Input
          value={typed}
          placeholder={text.members.searchHint}
          maxLength={100}
          onChange={({ target }) => change(target.value)}
        />
        <Search.Clear />
      </Search>
    </Field>
  );
}

/** Everybody is a member; that is told only of those who are nothing else. */
function notableRoles({ roles }: Row): { code: string; name: string }[] {
  const held = new Map(roles.map(({ role }) => [role.code, role]));
  if (held.size > 1) held.delete('member');
  return [...held.values()];
}

function changedColumns(before: Row, after: Row): Column[] {
  const codes = (row: Row): string =>
    row.roles.map(({ role, organization }) => `${role.code} ${organization?.id}`).sort().join();
  const differs: [Column, boolean][] = [
    ['name', before.displayName !== after.displayName],
    ['number', before.memberNumber !== after.memberNumber],
    ['chapter', before.organization?.id !== after.organization?.id],
    ['roles', codes(before) !== codes(after)],
    ['state', before.state !== after.state],
  ];
  const columns = differs.filter(([, different]) => different).map(([column]) => column);
  return columns.length > 0 ? columns : ['updated'];
}
