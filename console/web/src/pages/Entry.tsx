import { Button, Heading, Link, Paragraph, Table } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { Link as To } from 'wouter';

import { ChangedEntriesDocument, EntryDocument, EntryPayloadDocument, type EntryQuery } from '../api/operations';
import { useQuery } from '../api/query';
import { useThrottled } from '../live/throttle';
import { useWatch } from '../live/watch';
import { useMessages } from '../messages';
import { keepsCatalogue, useViewer } from '../session/viewer';
import { Back } from '../ui/Back';
import { Facts, type Fact } from '../ui/Facts';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';
import { Remark, Result } from '../ui/Tags';
import { Moment } from '../ui/Time';
import { useTitle } from '../ui/title';
import { useWords } from '../ui/words';
import { ReplayDialog } from './ReplayDialog';

type Found = Extract<EntryQuery['node'], { __typename: 'SyncLogEntry' }>;

const REFRESH_MS = 300;

export function Entry({ id }: { id: string }) {
  const text = useMessages();
  const words = useWords();
  const viewer = useViewer();
  const [{ data, error }, ask] = useQuery({
    query: EntryDocument,
    variables: { id },
    requestPolicy: 'cache-and-network',
  });
  const refresh = useThrottled(() => ask({ requestPolicy: 'network-only' }), REFRESH_MS);
  const [replaying, replay] = useState(false);
  useWatch(
    ChangedEntriesDocument,
    ({ syncLogChanges }) => syncLogChanges,
    (message) => message.__typename === 'SyncLogChange' && message.entryId === id,
    refresh,
  );
  const entry = data?.node?.__typename === 'SyncLogEntry' ? data.node : null;
  const title = entry ? words.event(entry.eventType) : text.log.title;
  useTitle(title);

  if (error && !data) return <Failure error={error} onRetry={refresh} />;
  if (!data) return <Loading />;
  return (
    <>
      <Back href="/logg">{text.entry.back}</Back>
      {entry ? (
        <>
          <div className="title">
            <Heading level={1} data-size="lg">
              {title}
            </Heading>
            <Result status={entry.status} outcome={entry.outcome} />
            <Button variant="secondary" data-size="sm" className="end" onClick={() => replay(true)}>
              {text.replay.one}
            </Button>
          </div>
          <div className="columns">
            <EntryFacts entry={entry} />
            <Changes entry={entry} />
          </div>
          <Attempts entry={entry} />
          {keepsCatalogue(viewer) && <Payload id={id} />}
        </>
      ) : (
        <Paragraph>{text.entry.missing}</Paragraph>
      )}
      {replaying && <ReplayDialog selection={{ kind: 'ids', ids: [id] }} onClose={() => replay(false)} />}
    </>
  );
}

function EntryFacts({ entry }: { entry: Found }) {
  const text = useMessages();
  const { member, organization } = entry;
  const link = member && (
    <Link asChild>
      <To href={`/medlemmer/${encodeURIComponent(member.id)}`}>{member.displayName}</To>
    </Link>
  );
  return (
    <section aria-labelledby="facts">
      <Heading level={2} data-size="sm" id="facts">
        {text.entry.facts}
      </Heading>
      <Facts
        facts={[
          [text.log.columns.member, link],
          [text.entry.chapter, organization && (organization.name ?? text.members.unnamed)],
          [text.entry.occurred, entry.occurredAt && <Moment at={entry.occurredAt} />],
          [text.entry.received, <Moment at={entry.receivedAt} />],
          [text.entry.processed, entry.processedAt && <Moment at={entry.processedAt} />],
          [text.entry.lag, entry.lagMs === null ? null : text.entry.lagMs(entry.lagMs)],
          ...(entry.nextAttemptAt ? [[text.entry.next, <Moment at={entry.nextAttemptAt} />] as Fact] : []),
          [text.entry.deliveries, text.entry.times(entry.deliveries)],
          ...(entry.detail ? [[text.entry.detail, <Remark detail={entry.detail} />] as Fact] : []),
          [text.entry.source, entry.source],
          [text.entry.eventId, <code>{entry.eventId}</code>],
        ]}
      />
    </section>
  );
}

function Changes({ entry }: { entry: Found }) {
  const text = useMessages();
  const words = useWords();
  return (
    <section aria-labelledby="changes">
      <Heading level={2} data-size="sm" id="changes">
        {text.entry.changes}
      </Heading>
      {entry.changes.length === 0 ? (
        <Paragraph>{text.entry.noChanges}</Paragraph>
      ) : (
        <Table data-size="sm" data-color="neutral" border aria-labelledby="changes">
          <Table.Head>
            <Table.Row>
              <Table.HeaderCell>{text.entry.field}</Table.HeaderCell>
              <Table.HeaderCell>{text.entry.before}</Table.HeaderCell>
              <Table.HeaderCell>{text.entry.after}</Table.HeaderCell>
            </Table.Row>
          </Table.Head>
          <Table.Body>
            {entry.changes.map(({ field, before, after }) => (
              <Table.Row key={field}>
                <Table.HeaderCell scope="row">{words.field(field)}</Table.HeaderCell>
                <Table.Cell>{words.value(field, before) ?? text.none}</Table.Cell>
                <Table.Cell>{words.value(field, after) ?? text.none}</Table.Cell>
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      )}
    </section>
  );
}

function Attempts({ entry }: { entry: Found }) {
  const text = useMessages();
  if (entry.attemptHistory.length === 0) return null;
  return (
    <section aria-labelledby="attempts">
      <Heading level={2} data-size="sm" id="attempts">
        {text.entry.attempts}
      </Heading>
      <Table data-size="sm" data-color="neutral" border aria-labelledby="attempts" data-testid="attempts">
        <Table.Head>
          <Table.Row>
            <Table.HeaderCell>{text.entry.when}</Table.HeaderCell>
            <Table.HeaderCell>{text.entry.trigger}</Table.HeaderCell>
            <Table.HeaderCell>{text.entry.result}</Table.HeaderCell>
            <Table.HeaderCell className="wide">{text.entry.detail}</Table.HeaderCell>
          </Table.Row>
        </Table.Head>
        <Table.Body>
          {entry.attemptHistory.map((attempt, index) => (
            <Table.Row key={index}>
              <Table.Cell>
                <Moment at={attempt.attemptedAt} />
              </Table.Cell>
              <Table.Cell>
                {text.trigger[attempt.trigger]}
                {attempt.actor && <small className="by">{text.entry.by(attempt.actor)}</small>}
                {attempt.reason && <small className="by">«{attempt.reason}»</small>}
              </Table.Cell>
              <Table.Cell>
                <Result status={attempt.status} outcome={attempt.outcome} />
              </Table.Cell>
              <Table.Cell className="wide">
                <Remark detail={attempt.detail} />
              </Table.Cell>
            </Table.Row>
          ))}
        </Table.Body>
      </Table>
    </section>
  );
}

/** For administrators of the national body, and only when they ask for it. */
function Payload({ id }: { id: string }) {
  const text = useMessages();
  const [wanted, want] = useState(false);
  const [{ data, error, fetching }, ask] = useQuery({ query: EntryPayloadDocument, variables: { id }, pause: !wanted });
  const payload = data?.node?.__typename === 'SyncLogEntry' ? data.node.payload : null;
  return (
    <section>
      <Heading level={2} data-size="sm" id="payload">
        {text.entry.payload}
      </Heading>
      {error && <Failure error={error} onRetry={() => ask({ requestPolicy: 'network-only' })} />}
      {payload === null ? (
        <>
          <Paragraph>{text.entry.payloadHint}</Paragraph>
          <Button variant="secondary" data-size="sm" className="below" loading={fetching} onClick={() => want(true)}>
            {text.entry.payloadShow}
          </Button>
        </>
      ) : (
        // It scrolls sideways, and so must be reachable by keyboard.
        <pre tabIndex={0} role="region" aria-labelledby="payload" data-testid="payload">
          {indented(payload)}
        </pre>
      )}
    </section>
  );
}

function indented(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json; // What was rejected for not being JSON is shown as it came.
  }
}
