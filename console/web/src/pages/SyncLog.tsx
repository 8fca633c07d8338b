import { Button, Checkbox, Details, Field, Heading, Label, Link, Select, Table, Textfield } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { useClient } from 'urql';
import { Link as To } from 'wouter';

import {
  EntryCountDocument,
  MemberDocument,
  SyncLogChangesDocument,
  SyncLogDocument,
  type EntryRowFragment as Entry,
  type SyncLogFilter,
  type SyncOutcome,
  type SyncStatus,
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
import { Remark, Result } from '../ui/Tags';
import { Moment } from '../ui/Time';
import { useTitle } from '../ui/title';
import { useWords } from '../ui/words';
import { ChapterSelect } from './ChapterSelect';
import { usePlace, type Place } from './place';
import { ReplayDialog, type Selection } from './ReplayDialog';

const STATUSES: SyncStatus[] = ['SUCCESS', 'SKIPPED', 'PENDING', 'FAILED', 'DEAD', 'REJECTED'];
const OUTCOMES: SyncOutcome[] = ['CREATED', 'UPDATED', 'UNCHANGED', 'DEACTIVATED', 'REACTIVATED', 'STALE', 'IGNORED'];
const FILTERS = ['status', 'hendelse', 'utfall', 'lag', 'kilde', 'medlem', 'fra', 'til'];
const REFRESH_MS = 700;
const COUNT_MS = 5_000;

export function SyncLog() {
  const text = useMessages();
  const words = useWords();
  const client = useClient();
  const place = usePlace();
  const { page } = place;
  const which = selectionIn(place);
  const ends = page.before
    ? { last: page.size, before: page.before }
    : { first: page.size, ...(page.after && { after: page.after }) };
  const variables = { ...which, ...ends };
  useTitle(text.log.title);

  const [result, ask] = useQuery({ query: SyncLogDocument, variables, requestPolicy: 'cache-and-network' });
  const { data, error } = result;
  const [{ data: counted }, count] = useQuery({
    query: EntryCountDocument,
    variables: which,
    requestPolicy: 'cache-and-network',
  });
  const current = JSON.stringify(result.operation?.variables) === JSON.stringify(variables);
  const fresh = data && current && !result.stale && !result.fetching ? data.syncLog.changeCursor : undefined;
  const [anchor, lose] = useAnchor(JSON.stringify(which), fresh, async () => {
    const again = await client.query(SyncLogDocument, variables, { requestPolicy: 'network-only' });
    return again.data?.syncLog.changeCursor;
  });
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set());
  const [marks, mark] = useMarks<'row'>();
  const refresh = useThrottled(() => ask({ requestPolicy: 'network-only' }), REFRESH_MS);
  const recount = useThrottled(() => count({ requestPolicy: 'network-only' }), COUNT_MS);
  const held = useHeld(JSON.stringify(variables), refresh, chosen.size > 0);

  useLive(SyncLogChangesDocument, anchor ? { ...which, after: anchor } : null, ({ syncLogChanges }) => syncLogChanges, {
    onMessage(message) {
      if (message.__typename !== 'SyncLogChange') return;
      mark(message.entryId, ['row']);
      if (message.entry) {
        held.tell(text.log.announce(words.event(message.entry.eventType), text.status[message.entry.status]));
      }
      // A row that is shown has changed already; others come and go with the page.
      if (message.operation === 'UPDATED') return;
      held.arrived();
      recount();
    },
    onEnd() {
      lose();
      recount();
    },
  });

  const rows = data?.syncLog.edges.map(({ node }) => node) ?? [];
  const [replaying, replay] = useState<Selection | null>(null);
  const selected = [...chosen];
  const total = counted?.syncLog.totalCount ?? null;
  const from = (page.number - 1) * page.size + 1;
  const { pageInfo } = data?.syncLog ?? {};

  const toggle = (ids: string[], on: boolean): void => {
    const next = new Set(chosen);
    ids.forEach((id) => (on ? next.add(id) : next.delete(id)));
    choose(next);
  };

  return (
    <>
      <div className="title">
        <Heading level={1} data-size="lg">
          {text.log.title}
        </Heading>
        <p data-testid="count">{total === null ? ' ' : text.log.count(total)}</p>
      </div>
      <Filters />
      <div className="actions" data-size="sm">
        <Button
          variant="secondary"
          disabled={selected.length === 0}
          onClick={() => replay({ kind: 'ids', ids: selected })}
        >
          {text.replay.selected(selected.length)}
        </Button>
        <Button variant="secondary" disabled={rows.length === 0} onClick={() => replay({ kind: 'matching', ...which })}>
          {text.replay.all}
        </Button>
      </div>
      <News waiting={held.waiting} onShow={held.show} />
      {error && !data && <Failure error={error} onRetry={refresh} />}
      {!data && !error && <Loading />}
      {data && rows.length === 0 && (
        <div className="empty">
          <Heading level={2} data-size="xs">
            {text.log.empty}
          </Heading>
          <p>{text.log.emptyHint}</p>
        </div>
      )}
      {rows.length > 0 && (
        <>
          <Table
            data-size="sm"
            data-color="neutral"
            hover
            border
            className="log"
            {...held.hand}
            data-testid="log"
            aria-busy={!current}
            aria-label={text.log.table}
          >
            <Table.Head>
              <Table.Row>
                <Table.HeaderCell className="check">
                  <Checkbox
                    aria-label={text.log.selectAll}
                    checked={rows.every(({ id }) => chosen.has(id))}
                    onChange={({ target }) => toggle(rows.map(({ id }) => id), target.checked)}
                  />
                </Table.HeaderCell>
                <Table.HeaderCell>{text.log.columns.received}</Table.HeaderCell>
                <Table.HeaderCell>{text.log.columns.event}</Table.HeaderCell>
                <Table.HeaderCell className="wide">{text.log.columns.member}</Table.HeaderCell>
                <Table.HeaderCell className="wide">{text.log.columns.status}</Table.HeaderCell>
                <Table.HeaderCell className="wide">{text.log.columns.detail}</Table.HeaderCell>
              </Table.Row>
            </Table.Head>
            <Table.Body>
              {rows.map((row) => (
                <EntryTableRow
                  key={row.id}
                  row={row}
                  fresh={marks.has(row.id)}
                  chosen={chosen.has(row.id)}
                  onChoose={(on) => toggle([row.id], on)}
                />
              ))}
            </Table.Body>
          </Table>
          <Pager
            position={total === null ? '' : text.pager.position(from, from + rows.length - 1, Math.max(total, from + rows.length - 1))}
            size={page.size}
            onSize={(size) => place.show({ antall: size })}
            previous={text.log.newer}
            next={text.log.older}
            onPrevious={page.number > 1 && pageInfo?.startCursor ? () => place.turn('previous', pageInfo.startCursor!) : null}
            onNext={pageInfo?.hasNextPage && pageInfo.endCursor ? () => place.turn('next', pageInfo.endCursor!) : null}
          />
        </>
      )}
      {replaying && <ReplayDialog selection={replaying} onClose={() => replay(null)} onDone={() => choose(new Set())} />}
    </>
  );
}

interface RowProps {
  row: Entry;
  fresh: boolean;
  chosen: boolean;
  onChoose: (on: boolean) => void;
}

function EntryTableRow({ row, fresh, chosen, onChoose }: RowProps) {
  const text = useMessages();
  const words = useWords();
  const event = words.event(row.eventType);
  const name = row.member?.displayName ?? text.none;
  return (
    <Table.Row data-id={row.id} data-fresh={fresh ? '' : undefined}>
      <Table.Cell className="check">
        <Checkbox
          aria-label={text.log.selectRow(event, name)}
          checked={chosen}
          onChange={({ target }) => onChoose(target.checked)}
        />
      </Table.Cell>
      <Table.Cell {...(fresh ? { 'data-changed': '' } : {})} className="moment">
        <Moment at={row.receivedAt} />
      </Table.Cell>
      <Table.Cell>
        <Link asChild data-color="accent">
          <To href={`/logg/${encodeURIComponent(row.id)}`}>{event}</To>
        </Link>
        <span className="narrow">
          {name}
          <Result status={row.status} outcome={row.outcome} />
        </span>
      </Table.Cell>
      <Table.Cell className="wide">
        {row.member ? (
          <Link asChild data-color="accent">
            <To href={`/medlemmer/${encodeURIComponent(row.member.id)}`}>{name}</To>
          </Link>
        ) : (
          name
        )}
      </Table.Cell>
      <Table.Cell className="wide">
        <Result status={row.status} outcome={row.outcome} />
      </Table.Cell>
      <Table.Cell className="wide detail">
        <Remark detail={row.detail} />
      </Table.Cell>
    </Table.Row>
  );
}

function Filters() {
  const text = useMessages();
  const words = useWords();
  const place = usePlace();
  const member = place.get('medlem');
  const rarer = ['utfall', 'kilde', 'fra', 'til'];

  const select = (name: string, label: string, values: readonly (readonly [string, string])[]) => (
    <Field>
      <Label>{label}</Label>
      <Select value={place.get(name) ?? ''} onChange={({ target }) => place.show({ [name]: target.value })}>
        <Select.Option value="">{text.members.all}</Select.Option>
        {values.map(([value, shown]) => (
          <Select.Option key={value} value={value}>
            {shown}
          </Select.Option>
        ))}
      </Select>
    </Field>
  );

  return (
    <form className="filters log-filters" role="search" data-size="sm" onSubmit={(event) => event.preventDefault()}>
      {select('status', text.log.status, STATUSES.map((status) => [status, text.status[status]] as const))}
      {select('hendelse', text.log.event, Object.keys(text.events).map((type) => [type, words.event(type)] as const))}
      <ChapterSelect />
      <Button
        variant="tertiary"
        disabled={!FILTERS.some((name) => place.get(name))}
        onClick={() => place.show(Object.fromEntries(FILTERS.map((name) => [name, null])))}
      >
        {text.members.reset}
      </Button>
      {member && <MemberChip id={member} />}
      <Details className="more" defaultOpen={rarer.some((name) => place.get(name))}>
        <Details.Summary>{text.log.more}</Details.Summary>
        <Details.Content>
          <div className="filters">
            {select('utfall', text.log.outcome, OUTCOMES.map((outcome) => [outcome, text.outcome[outcome]] as const))}
            <Textfield
              label={text.log.source}
              defaultValue={place.get('kilde') ?? ''}
              onBlur={({ target }) => place.show({ kilde: target.value.trim() })}
            />
            {(['fra', 'til'] as const).map((name) => (
              <Textfield
                key={name}
                type="datetime-local"
                label={name === 'fra' ? text.log.from : text.log.before}
                value={place.get(name) ?? ''}
                onChange={({ target }) => place.show({ [name]: target.value })}
              />
            ))}
          </div>
        </Details.Content>
      </Details>
    </form>
  );
}

function MemberChip({ id }: { id: string }) {
  const text = useMessages();
  const place = usePlace();
  const [{ data }] = useQuery({ query: MemberDocument, variables: { id, history: 1, withHistory: false } });
  const name = data?.member?.displayName;
  return (
    <Button variant="secondary" className="chip" onClick={() => place.show({ medlem: null })}>
      {name ? text.log.member(name) : text.log.onlyOneMember} ×
    </Button>
  );
}

function selectionIn(place: Place): { organizationId?: string; filter: SyncLogFilter } {
  const one = (name: string): string | null => place.get(name) || null;
  const status = one('status') as SyncStatus | null;
  const outcome = one('utfall') as SyncOutcome | null;
  const type = one('hendelse');
  const source = one('kilde');
  const memberId = one('medlem');
  const organizationId = one('lag');
  const receivedFrom = instant(one('fra'));
  const receivedBefore = instant(one('til'));
  return {
    ...(organizationId && { organizationId }),
    filter: {
      ...(status && { status: [status] }),
      ...(outcome && { outcome: [outcome] }),
      ...(type && { eventType: [type] }),
      ...(source && { source: [source] }),
      ...(memberId && { memberId }),
      ...(receivedFrom && { receivedFrom }),
      ...(receivedBefore && { receivedBefore }),
    },
  };
}

/** A local time, as the field has it, with its zone. */
function instant(local: string | null): string | null {
  const date = new Date(local ?? '');
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
