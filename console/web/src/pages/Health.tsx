import { Alert, Card, Heading, Paragraph, Table } from '@digdir/designsystemet-react';
import type { ReactNode } from 'react';

import { HealthDocument, type CountsFragment, type HealthQuery } from '../api/operations';
import { useQuery } from '../api/query';
import { usePoll } from '../live/poll';
import { useMessages } from '../messages';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';
import { Remark } from '../ui/Tags';
import { Ago } from '../ui/Time';
import { useTitle } from '../ui/title';
import { Concerns } from './Concerns';
import { HourChart } from './HourChart';

type Found = HealthQuery['syncHealth'];

const POLL_MS = 5_000;

export function Health() {
  const text = useMessages();
  const [{ data, error }, ask] = useQuery({ query: HealthDocument, requestPolicy: 'cache-and-network' });
  const refresh = (): void => ask({ requestPolicy: 'network-only' });
  usePoll(refresh, POLL_MS);
  useTitle(text.health.title);

  if (error && !data) return <Failure error={error} onRetry={refresh} />;
  if (!data) return <Loading />;
  return (
    <>
      <Heading level={1} data-size="lg">
        {text.health.title}
      </Heading>
      <Verdict health={data.syncHealth} onChange={refresh} />
      <Figures health={data.syncHealth} />
      <HourChart hours={data.syncHealth.hours} />
      <Reasons health={data.syncHealth} />
    </>
  );
}

function Verdict({ health, onChange }: { health: Found; onChange: () => void }) {
  const text = useMessages();
  if (health.concerns.length > 0) return <Concerns concerns={health.concerns} onChange={onChange} />;
  return (
    <Alert data-color="success" className="notice" data-testid="verdict">
      {health.lastReceivedAt ? text.health.well : text.health.nothingYet}
    </Alert>
  );
}

function Figures({ health }: { health: Found }) {
  const text = useMessages();
  const { locale } = text;
  const number = (value: number): string => value.toLocaleString(locale);
  const share = ({ rejected, received }: CountsFragment): string =>
    text.health.share(
      new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 }).format(received ? rejected / received : 0),
    );

  return (
    <div className="figures">
      <Figure name={text.health.lastReceived}>
        <strong className="words">
          {health.lastReceivedAt ? <Ago at={health.lastReceivedAt} /> : text.health.noneReceived}
        </strong>
      </Figure>
      <Figure name={text.health.lag} hint={text.health.lagHint}>
        <strong>{health.lagP95Ms === null ? text.none : text.entry.lagMs(health.lagP95Ms)}</strong>
      </Figure>
      <Figure
        name={text.health.waiting}
        hint={
          health.oldestWaitingSince ? (
            <>
              {text.health.oldest} <Ago at={health.oldestWaitingSince} />
            </>
          ) : (
            text.health.nobodyWaits
          )
        }
      >
        <strong>{number(health.waiting)}</strong>
      </Figure>
      <Figure name={text.health.dead} hint={health.dead ? text.health.deadHint : text.health.noneDead}>
        <strong>{number(health.dead)}</strong>
      </Figure>
      <Figure name={`${text.health.received}, ${text.health.lastHour.toLowerCase()}`}>
        <strong>{number(health.lastHour.received)}</strong>
      </Figure>
      <Figure name={`${text.health.rejected}, ${text.health.lastHour.toLowerCase()}`} hint={share(health.lastHour)}>
        <strong>{number(health.lastHour.rejected)}</strong>
      </Figure>
      <Figure name={`${text.health.received}, ${text.health.lastDay.toLowerCase()}`}>
        <strong>{number(health.lastDay.received)}</strong>
      </Figure>
      <Figure name={`${text.health.rejected}, ${text.health.lastDay.toLowerCase()}`} hint={share(health.lastDay)}>
        <strong>{number(health.lastDay.rejected)}</strong>
      </Figure>
    </div>
  );
}

function Figure({ name, hint, children }: { name: string; hint?: ReactNode; children: ReactNode }) {
  return (
    <Card data-color="neutral">
      <span className="figure-name">{name}</span>
      {children}
      {hint && <small>{hint}</small>}
    </Card>
  );
}

function Reasons({ health }: { health: Found }) {
  const text = useMessages();
  return (
    <section aria-labelledby="reasons">
      <Heading level={2} data-size="sm" id="reasons">
        {text.health.reasons}
      </Heading>
      {health.rejections.length === 0 ? (
        <Paragraph>{text.health.noReasons}</Paragraph>
      ) : (
        <Table data-size="sm" data-color="neutral" border aria-labelledby="reasons">
          <Table.Head>
            <Table.Row>
              <Table.HeaderCell>{text.health.reason}</Table.HeaderCell>
              <Table.HeaderCell className="figure">{text.health.lastHour}</Table.HeaderCell>
              <Table.HeaderCell className="figure">{text.health.lastDay}</Table.HeaderCell>
            </Table.Row>
          </Table.Head>
          <Table.Body>
            {health.rejections.map(({ reason, lastHour, lastDay }) => (
              <Table.Row key={reason}>
                <Table.Cell>
                  <Remark detail={reason} />
                </Table.Cell>
                <Table.Cell className="figure">{lastHour.toLocaleString(text.locale)}</Table.Cell>
                <Table.Cell className="figure">{lastDay.toLocaleString(text.locale)}</Table.Cell>
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      )}
      <Paragraph data-size="sm" className="aside">
        {text.health.unsigned}
      </Paragraph>
    </section>
  );
}
