import { Alert, Button, Card, Heading, Link, Paragraph, Table } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { Link as To } from 'wouter';

import { SourcesDocument, type RunFieldsFragment as Run, type SourcesQuery } from '../api/operations';
import { useQuery } from '../api/query';
import { usePoll } from '../live/poll';
import { useMessages } from '../messages';
import { Facts } from '../ui/Facts';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';
import { RunTag } from '../ui/Tags';
import { Ago, Moment } from '../ui/Time';
import { useTitle } from '../ui/title';
import { CompareDialog } from './CompareDialog';

type Source = SourcesQuery['sources'][number];

const POLL_MS = 3_000;

/** What came from each source, and the runs that compared it with what is known here. */
export function Sources() {
  const text = useMessages();
  const [{ data, error }, ask] = useQuery({ query: SourcesDocument, requestPolicy: 'cache-and-network' });
  const refresh = (): void => ask({ requestPolicy: 'network-only' });
  const [comparing, compare] = useState<string | null>(null);
  usePoll(refresh, POLL_MS);
  useTitle(text.sources.title);

  if (error && !data) return <Failure error={error} onRetry={refresh} />;
  if (!data) return <Loading />;
  const runs = data.reconciliations.edges.map(({ node }) => node);
  const held = runs.filter(({ status }) => status === 'HELD');
  return (
    <>
      <Heading level={1} data-size="lg">
        {text.sources.title}
      </Heading>
      <Paragraph className="lead">{text.sources.lead}</Paragraph>
      {held.map((run) => (
        <Alert key={run.id} data-color="warning" className="notice" data-testid="held">
          <strong>{text.sources.heldTitle(run.source)}</strong> {text.sources.heldText}{' '}
          <Link asChild>
            <To href={`/kilder/${run.id}`}>{text.sources.decide}</To>
          </Link>
        </Alert>
      ))}
      <div className="columns sources">
        {data.sources.map((source) => (
          <SourceCard key={source.name} source={source} onCompare={() => compare(source.name)} />
        ))}
      </div>
      <Paragraph data-size="sm" className="aside">
        {text.sources.missedHelp}
      </Paragraph>
      <Runs runs={runs} />
      {comparing && <CompareDialog source={comparing} onClose={() => compare(null)} onDone={refresh} />}
    </>
  );
}

function SourceCard({ source, onCompare }: { source: Source; onCompare: () => void }) {
  const text = useMessages();
  const { locale } = text;
  const { reconciliation: last, reconciliationRequestedAt: asked } = source;
  return (
    <Card data-color="neutral" data-testid="source">
      <Heading level={2} data-size="xs">
        {source.name}
      </Heading>
      <Facts
        facts={[
          [text.sources.lastReceived, source.lastReceivedAt ? <Ago at={source.lastReceivedAt} /> : text.sources.never],
          [text.sources.received, source.receivedLastDay.toLocaleString(locale)],
          [text.sources.refused, source.refusedLastDay.toLocaleString(locale)],
          [text.sources.missedLastDay, source.missedLastDay.toLocaleString(locale)],
          [
            text.sources.lastCompared,
            last ? (
              <Link asChild>
                <To href={`/kilder/${last.id}`}>
                  <Ago at={last.startedAt} />
                </To>
              </Link>
            ) : (
              text.sources.never
            ),
          ],
        ]}
      />
      {asked ? (
        <Paragraph data-size="sm" role="status">
          {text.sources.asked}
        </Paragraph>
      ) : source.comparable ? (
        <Button variant="secondary" data-size="sm" aria-label={`${text.sources.compare}: ${source.name}`} onClick={onCompare}>
          {text.sources.compare}
        </Button>
      ) : (
        <Paragraph data-size="sm">{text.sources.notComparable}</Paragraph>
      )}
    </Card>
  );
}

function Runs({ runs }: { runs: Run[] }) {
  const text = useMessages();
  const number = (value: number): string => value.toLocaleString(text.locale);
  return (
    <section aria-labelledby="runs">
      <Heading level={2} data-size="sm" id="runs">
        {text.sources.runs}
      </Heading>
      {runs.length === 0 ? (
        <Paragraph>{text.sources.noRuns}</Paragraph>
      ) : (
        <Table data-size="sm" data-color="neutral" border aria-labelledby="runs" data-testid="runs">
          <Table.Head>
            <Table.Row>
              <Table.HeaderCell>{text.sources.started}</Table.HeaderCell>
              <Table.HeaderCell className="wide">{text.sources.source}</Table.HeaderCell>
              <Table.HeaderCell className="wide">{text.sources.kind}</Table.HeaderCell>
              <Table.HeaderCell>{text.sources.status}</Table.HeaderCell>
              <Table.HeaderCell className="wide figure">{text.sources.compared}</Table.HeaderCell>
              <Table.HeaderCell className="wide figure">{text.sources.changed}</Table.HeaderCell>
              <Table.HeaderCell className="wide figure">{text.sources.missed}</Table.HeaderCell>
            </Table.Row>
          </Table.Head>
          <Table.Body>
            {runs.map((run) => (
              <Table.Row key={run.id}>
                <Table.Cell className="moment">
                  <Link asChild>
                    <To href={`/kilder/${run.id}`}>
                      <Moment at={run.startedAt} />
                    </To>
                  </Link>
                </Table.Cell>
                <Table.Cell className="wide">{run.source}</Table.Cell>
                <Table.Cell className="wide">{text.sources.kinds[run.kind]}</Table.Cell>
                <Table.Cell>
                  <RunTag status={run.status} dryRun={run.dryRun} />
                </Table.Cell>
                <Table.Cell className="wide figure">{number(run.compared)}</Table.Cell>
                <Table.Cell className="wide figure">{number(run.created + run.updated + run.deactivated)}</Table.Cell>
                <Table.Cell className="wide figure">{number(run.missed)}</Table.Cell>
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      )}
    </section>
  );
}
