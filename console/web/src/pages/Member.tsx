import { Button, Heading, Link, Paragraph, Table } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { Link as To } from 'wouter';

import { ChangedMembersDocument, MemberDocument, type MemberQuery } from '../api/operations';
import { useQuery } from '../api/query';
import { useThrottled } from '../live/throttle';
import { useWatch } from '../live/watch';
import { useMessages } from '../messages';
import { mailto, tel } from '../plain';
import { correctsMembers, readsLog, useViewer } from '../session/viewer';
import { CorrectDialog } from './CorrectDialog';
import { Back } from '../ui/Back';
import { Facts } from '../ui/Facts';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';
import { Result, StateTag } from '../ui/Tags';
import { Ago, Day, Moment } from '../ui/Time';
import { useTitle } from '../ui/title';
import { useWords } from '../ui/words';

type Found = NonNullable<MemberQuery['member']>;
type Log = NonNullable<Found['syncLog']>;
type Entry = Log['edges'][number]['node'];

const PAGE = 20;
const MOST = 100;
const REFRESH_MS = 300;

export function Member({ id }: { id: string }) {
  const text = useMessages();
  const viewer = useViewer();
  const withHistory = readsLog(viewer);
  const [correcting, correct] = useState(false);
  const [history, showHistory] = useState(PAGE);
  const [{ data, error }, ask] = useQuery({
    query: MemberDocument,
    variables: { id, history, withHistory },
    requestPolicy: 'cache-and-network',
  });
  const refresh = useThrottled(() => ask({ requestPolicy: 'network-only' }), REFRESH_MS);
  useWatch(
    ChangedMembersDocument,
    ({ memberChanges }) => memberChanges,
    (message) => message.__typename === 'MemberChange' && message.memberId === id,
    refresh,
  );
  const member = data?.member;
  useTitle(member?.displayName ?? text.members.title);

  if (error && !data) return <Failure error={error} onRetry={refresh} />;
  if (!data) return <Loading />;
  return (
    <>
      <Back href="/medlemmer">{text.member.back}</Back>
      {member ? (
        <>
          <div className="title">
            <Heading level={1} data-size="lg">
              {member.displayName}
            </Heading>
            <StateTag state={member.state} />
            {correctsMembers(viewer) && (
              <Button variant="secondary" data-size="sm" onClick={() => correct(true)}>
                {text.correct.open}
              </Button>
            )}
          </div>
          <div className="columns">
            <Profile member={member} />
            <Roles member={member} />
          </div>
          {member.provenance && member.provenance.length > 0 && <Provenance parts={member.provenance} />}
          {correcting && <CorrectDialog member={member} onClose={() => correct(false)} />}
          {member.syncLog && (
            <History
              memberId={member.id}
              log={member.syncLog}
              onMore={history < MOST ? () => showHistory(Math.min(history + PAGE, MOST)) : null}
            />
          )}
        </>
      ) : (
        <Paragraph>{text.member.missing}</Paragraph>
      )}
    </>
  );
}

function Profile({ member }: { member: Found }) {
  const text = useMessages();
  return (
    <section aria-labelledby="profile">
      <Heading level={2} data-size="sm" id="profile">
        {text.member.profile}
      </Heading>
      <Facts
        facts={[
          [text.member.number, member.memberNumber],
          [text.member.email, member.email && <Link href={mailto(member.email)}>{member.email}</Link>],
          [text.member.phone, member.phone && <Link href={tel(member.phone)}>{member.phone}</Link>],
          [text.member.chapter, member.organization && (member.organization.name ?? text.members.unnamed)],
          [text.member.access, text.access[member.accessLevel]],
          [
            text.member.activeSince(text.state[member.state]),
            member.stateChangedAt && <Day at={member.stateChangedAt} />,
          ],
          [text.member.updated, <Ago at={member.updatedAt} />],
          [text.member.portalId, <code>{member.portalId}</code>],
        ]}
      />
    </section>
  );
}

/** Chapter by chapter, as they are held. */
function Roles({ member }: { member: Found }) {
  const text = useMessages();
  const words = useWords();
  return (
    <section aria-labelledby="roles">
      <Heading level={2} data-size="sm" id="roles">
        {text.member.rolesTitle}
      </Heading>
      {member.roles.length === 0 ? (
        <Paragraph>{text.member.noRoles}</Paragraph>
      ) : (
        <Table data-size="sm" data-color="neutral" border aria-labelledby="roles">
          <Table.Head>
            <Table.Row>
              <Table.HeaderCell>{text.member.chapter}</Table.HeaderCell>
              <Table.HeaderCell>{text.member.role}</Table.HeaderCell>
              <Table.HeaderCell>{text.member.since}</Table.HeaderCell>
            </Table.Row>
          </Table.Head>
          <Table.Body>
            {member.roles
              .toSorted((a, b) => (a.organization?.name ?? '').localeCompare(b.organization?.name ?? '', 'nb'))
              .map(({ role, organization, since }) => (
                <Table.Row key={`${role.id} ${organization?.id}`}>
                  <Table.Cell>
                    {organization ? (organization.name ?? text.members.unnamed) : text.member.homeChapter}
                  </Table.Cell>
                  <Table.Cell>{words.role(role)}</Table.Cell>
                  <Table.Cell>
                    <Day at={since} />
                  </Table.Cell>
                </Table.Row>
              ))}
          </Table.Body>
        </Table>
      )}
    </section>
  );
}

/** Which event decided each part. */
function Provenance({ parts }: { parts: NonNullable<Found['provenance']> }) {
  const text = useMessages();
  const words = useWords();
  return (
    <section aria-labelledby="provenance">
      <Heading level={2} data-size="sm" id="provenance">
        {text.provenance.title}
      </Heading>
      <Table data-size="sm" data-color="neutral" border aria-labelledby="provenance" data-testid="provenance">
        <Table.Head>
          <Table.Row>
            <Table.HeaderCell>{text.provenance.part}</Table.HeaderCell>
            <Table.HeaderCell>{text.provenance.entry}</Table.HeaderCell>
            <Table.HeaderCell>{text.provenance.statedAt}</Table.HeaderCell>
          </Table.Row>
        </Table.Head>
        <Table.Body>
          {parts.map(({ part, statedAt, entry }) => (
            <Table.Row key={part}>
              <Table.Cell>{words.field(part)}</Table.Cell>
              <Table.Cell>
                {entry ? (
                  <Link asChild>
                    <To href={`/logg/${encodeURIComponent(entry.id)}`}>
                      {entry.source === 'correction' ? text.provenance.correction : words.event(entry.eventType)}
                    </To>
                  </Link>
                ) : (
                  text.provenance.elsewhere
                )}
              </Table.Cell>
              <Table.Cell>
                <Moment at={statedAt} />
              </Table.Cell>
            </Table.Row>
          ))}
        </Table.Body>
      </Table>
    </section>
  );
}

/** What the portal changed, and when, the newest first. */
function History({ memberId, log, onMore }: { memberId: string; log: Log; onMore: (() => void) | null }) {
  const text = useMessages();
  const entries = log.edges.map(({ node }) => node);
  return (
    <section aria-labelledby="history" className="history">
      <Heading level={2} data-size="sm" id="history">
        {text.member.history}
      </Heading>
      {entries.length === 0 && <Paragraph>{text.member.noHistory}</Paragraph>}
      <ol>
        {entries.map((entry) => (
          <HistoryEntry key={entry.id} entry={entry} />
        ))}
      </ol>
      {log.pageInfo.hasNextPage &&
        (onMore ? (
          <Button variant="secondary" data-size="sm" onClick={onMore}>
            {text.member.more}
          </Button>
        ) : (
          <Link asChild>
            <To href={`/logg?medlem=${encodeURIComponent(memberId)}`}>{text.member.whole}</To>
          </Link>
        ))}
    </section>
  );
}

function HistoryEntry({ entry }: { entry: Entry }) {
  const text = useMessages();
  const words = useWords();
  return (
    <li>
      <div className="what">
        <Link asChild>
          <To href={`/logg/${encodeURIComponent(entry.id)}`}>{words.event(entry.eventType)}</To>
        </Link>
        <span className="when">
          <Moment at={entry.occurredAt ?? entry.receivedAt} />
        </span>
        {entry.status !== 'SUCCESS' && <Result status={entry.status} outcome={entry.outcome} />}
      </div>
      {entry.changes.length > 0 && (
        <ul>
          {entry.changes.map(({ field, before, after }) => (
            <li key={field}>
              {words.field(field)}{' '}
              {before === null ? (
                text.member.wasSet(words.value(field, after) ?? text.none)
              ) : (
                <>
                  <del>{words.value(field, before)}</del>{' '}
                  {after === null ? text.member.wasCleared : <ins>{words.value(field, after)}</ins>}
                </>
              )}
            </li>
          ))}
        </ul>
      )}
      {entry.changes.length === 0 && <p>{text.member.nothingChanged}</p>}
    </li>
  );
}
