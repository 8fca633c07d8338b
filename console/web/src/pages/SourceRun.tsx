import { Alert, Button, Heading, Link, Paragraph, Table } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { Link as To } from 'wouter';

import { RunDocument, RunDriftDocument, type RunDriftQuery, type RunQuery } from '../api/operations';
import { useQuery } from '../api/query';
import { usePoll } from '../live/poll';
import { useMessages } from '../messages';
import { Back } from '../ui/Back';
import { Facts } from '../ui/Facts';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';
import { RunTag } from '../ui/Tags';
import { Ago, Moment } from '../ui/Time';
import { useTitle } from '../ui/title';
import { useWords } from '../ui/words';
import { HeldDialog } from './HeldDialog';

type Found = Extract<RunQuery['node'], { __typename: 'Reconciliation' }>;
type Held = Found['heldRemovals']['edges'][number]['node'];
type Drift = Extract<RunDriftQuery['node'], { __typename: 'Reconciliation' }>['drift'];

const POLL_MS = 3_000;

/** One run: its counts, what it holds back, and what differed. */
export function SourceRun({ id }: { id: string }) {
  const text = useMessages();
  const [{ data, error }, ask] = useQuery({ query: RunDocument, variables: { id }, requestPolicy: 'cache-and-network' });
  const refresh = (): void => ask({ requestPolicy: 'network-only' });
  const run = data?.node?.__typename === 'Reconciliation' ? data.node : null;
  usePoll(refresh, POLL_MS);
  const title = run ? text.run.title(run.source) : text.sources.runs;
  useTitle(title);

  if (error && !data) return <Failure error={error} onRetry={refresh} />;
  if (!data) return <Loading />;
  return (
    <>
      <Back href="/kilder">{text.run.back}</Back>
      {run ? (
        <>
          <div className="title">
            <Heading level={1} data-size="lg">
              {title}
            </Heading>
            <RunTag status={run.status} dryRun={run.dryRun} />
          </div>
          {run.dryRun && <Paragraph className="lead">{text.run.dryRun}</Paragraph>}
          {run.detail && (
            <Alert data-color="danger" className="notice">
              {text.run.failed} <span lang="en">{run.detail}</span>
            </Alert>
          )}
          <HeldRemovals run={run} onDone={refresh} />
          <Counts run={run} />
          <Differences id={id} unlisted={run.unlisted} />
        </>
      ) : (
        <Paragraph>{text.run.missing}</Paragraph>
      )}
    </>
  );
}

function Counts({ run }: { run: Found }) {
  const text = useMessages();
  const number = (value: number): string => value.toLocaleString(text.locale);
  return (
    <section aria-labelledby="counts">
      <Heading level={2} data-size="sm" id="counts">
        {text.run.counts}
      </Heading>
      <Facts
        facts={[
          [text.sources.kind, text.sources.kinds[run.kind]],
          [text.sources.started, <Moment key="started" at={run.startedAt} />],
          [text.run.finished, run.finishedAt && <Moment key="finished" at={run.finishedAt} />],
          [text.sources.compared, number(run.compared)],
          [text.run.created, number(run.created)],
          [text.run.updated, number(run.updated)],
          [text.run.deactivated, number(run.deactivated)],
          [text.run.gone, number(run.missing)],
          [text.sources.missed, number(run.missed)],
          [text.run.held, number(run.held)],
        ]}
      />
    </section>
  );
}

function HeldRemovals({ run, onDone }: { run: Found; onDone: () => void }) {
  const text = useMessages();
  const words = useWords();
  const [deciding, decide] = useState<'release' | 'discard' | null>(null);
  const held = run.heldRemovals.edges.map(({ node }) => node);
  const more = run.heldRemovals.pageInfo.hasNextPage;
  if (held.length === 0) return null;
  return (
    <section aria-labelledby="held">
      <Heading level={2} data-size="sm" id="held">
        {text.held.title}
      </Heading>
      <Paragraph className="lead">{text.held.lead}</Paragraph>
      <div className="actions">
        <Button data-size="sm" data-color="danger" variant="secondary" onClick={() => decide('release')}>
          {text.held.release}
        </Button>
        <Button data-size="sm" variant="secondary" onClick={() => decide('discard')}>
          {text.held.discard}
        </Button>
      </div>
      <Table data-size="sm" data-color="neutral" border aria-labelledby="held" data-testid="held-removals">
        <Table.Head>
          <Table.Row>
            <Table.HeaderCell>{text.run.member}</Table.HeaderCell>
            <Table.HeaderCell className="wide">{text.fields.organization}</Table.HeaderCell>
            <Table.HeaderCell>{text.held.what}</Table.HeaderCell>
            <Table.HeaderCell className="wide">{text.held.since}</Table.HeaderCell>
          </Table.Row>
        </Table.Head>
        <Table.Body>
          {held.map((each) => (
            <Table.Row key={each.id}>
              <Table.Cell>
                <Who member={each.member} portalId={each.portalId} />
              </Table.Cell>
              <Table.Cell className="wide">{each.member?.organization?.name ?? text.none}</Table.Cell>
              <Table.Cell>{takenAway(each, text, words)}</Table.Cell>
              <Table.Cell className="wide">
                <Ago at={each.heldSince} />
              </Table.Cell>
            </Table.Row>
          ))}
        </Table.Body>
      </Table>
      {more && <Paragraph data-size="sm">{text.held.more}</Paragraph>}
      {deciding && (
        <HeldDialog
          run={run.id}
          release={deciding === 'release'}
          names={[...new Set(held.map(({ member, portalId }) => member?.displayName ?? portalId))]}
          more={more}
          onClose={() => decide(null)}
          onDone={onDone}
        />
      )}
    </section>
  );
}

function takenAway(
  { part, portal }: Held,
  text: ReturnType<typeof useMessages>,
  words: ReturnType<typeof useWords>,
): string {
  if (part !== 'roles') return text.held.membership;
  return text.held.roles(portal ? (words.statedRoles(portal) ?? portal) : text.none);
}

function Who({ member, portalId }: { member: { id: string; displayName: string } | null; portalId: string }) {
  return member ? (
    <Link asChild>
      <To href={`/medlemmer/${member.id}`}>{member.displayName}</To>
    </Link>
  ) : (
    <code>{portalId}</code>
  );
}

/** Shown when asked for, since reading values is recorded. */
function Differences({ id, unlisted }: { id: string; unlisted: number }) {
  const text = useMessages();
  const [shown, show] = useState(false);
  return (
    <section aria-labelledby="differences">
      <Heading level={2} data-size="sm" id="differences">
        {text.run.differences}
      </Heading>
      {unlisted > 0 && (
        <Alert data-color="info" data-testid="unlisted">
          {text.run.unlisted(unlisted)}
        </Alert>
      )}
      {shown ? (
        <DriftPages id={id} />
      ) : (
        <>
          <Paragraph data-size="sm">{text.run.differencesHelp}</Paragraph>
          <Button variant="secondary" data-size="sm" className="below" onClick={() => show(true)}>
            {text.run.show}
          </Button>
        </>
      )}
    </section>
  );
}

function DriftPages({ id }: { id: string }) {
  const text = useMessages();
  const [cursors, setCursors] = useState<(string | null)[]>([null]);
  const after = cursors.at(-1) ?? null;
  const [{ data, error }, ask] = useQuery({ query: RunDriftDocument, variables: { id, after } });
  const drift = data?.node?.__typename === 'Reconciliation' ? data.node.drift : null;
  if (error && !data) return <Failure error={error} onRetry={() => ask({ requestPolicy: 'network-only' })} />;
  if (!drift) return <Loading />;
  const { hasNextPage, endCursor } = drift.pageInfo;
  return (
    <>
      <DriftTable drift={drift} />
      {(cursors.length > 1 || hasNextPage) && (
        <div className="actions below">
          <Button
            variant="secondary"
            data-size="sm"
            disabled={cursors.length === 1}
            onClick={() => setCursors(cursors.slice(0, -1))}
          >
            {text.pager.previous}
          </Button>
          <Button variant="secondary" data-size="sm" disabled={!hasNextPage} onClick={() => setCursors([...cursors, endCursor])}>
            {text.pager.next}
          </Button>
        </div>
      )}
    </>
  );
}

function DriftTable({ drift }: { drift: Drift }) {
  const text = useMessages();
  const words = useWords();
  if (drift.edges.length === 0) return <Paragraph>{text.run.none}</Paragraph>;
  const value = (field: string, stated: string | null): string =>
    (field === 'roles' ? words.statedRoles(stated) : words.value(field, stated)) ?? text.none;
  return (
    <Table data-size="sm" data-color="neutral" border aria-labelledby="differences" data-testid="drift">
      <Table.Head>
        <Table.Row>
          <Table.HeaderCell>{text.run.member}</Table.HeaderCell>
          <Table.HeaderCell>{text.entry.field}</Table.HeaderCell>
          <Table.HeaderCell className="wide">{text.run.here}</Table.HeaderCell>
          <Table.HeaderCell className="wide">{text.run.portal}</Table.HeaderCell>
          <Table.HeaderCell>{text.run.action}</Table.HeaderCell>
        </Table.Row>
      </Table.Head>
      <Table.Body>
        {drift.edges.map(({ node }) => (
          <Table.Row key={node.id}>
            <Table.Cell>
              <Who member={node.member} portalId={node.portalId} />
            </Table.Cell>
            <Table.Cell>
              {words.field(node.field)}
              <small className="narrow by">
                {value(node.field, node.here)} → {value(node.field, node.portal)}
              </small>
            </Table.Cell>
            <Table.Cell className="wide">{value(node.field, node.here)}</Table.Cell>
            <Table.Cell className="wide">{value(node.field, node.portal)}</Table.Cell>
            <Table.Cell>{text.run.actions[node.action]}</Table.Cell>
          </Table.Row>
        ))}
      </Table.Body>
    </Table>
  );
}
