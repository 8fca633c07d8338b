import { Details, Heading, Table } from '@digdir/designsystemet-react';

import type { CountsFragment, HealthQuery } from '../api/operations';
import { useMessages } from '../messages';

type Hours = HealthQuery['syncHealth']['hours'];

// From the foot of a bar to its top.
const SERIES = ['succeeded', 'skipped', 'open', 'rejected'] as const;
const WIDTH = 960;
const HEIGHT = 180;
const FOOT = 24;
const LEFT = 44;

/** A bar for each hour. The same figures stand in a table below, for whoever reads rather than looks. */
export function HourChart({ hours }: { hours: Hours }) {
  const text = useMessages();
  const hour = new Intl.DateTimeFormat(text.locale, { hour: '2-digit', minute: '2-digit' });
  const top = scaleTop(Math.max(...hours.map(({ counts }) => counts.received), 1));
  const step = (WIDTH - LEFT) / hours.length;
  const height = (count: number): number => (count / top) * (HEIGHT - FOOT - 10);

  return (
    <section aria-labelledby="chart" className="chart">
      <Heading level={2} data-size="sm" id="chart">
        {text.health.chart}
      </Heading>
      <ul className="legend" aria-hidden="true">
        {SERIES.map((series) => (
          <li key={series} data-series={series}>
            {text.health.series[series]}
          </li>
        ))}
      </ul>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" focusable="false">
        {[0, 0.5, 1].map((part) => {
          const y = HEIGHT - FOOT - height(top * part);
          return (
            <g key={part}>
              <line x1={LEFT} x2={WIDTH} y1={y} y2={y} className="grid" />
              {(part !== 0.5 || top % 2 === 0) && (
                <text x={LEFT - 8} y={y + 4} textAnchor="end">
                  {(top * part).toLocaleString(text.locale)}
                </text>
              )}
            </g>
          );
        })}
        {hours.map(({ begins, counts }, index) => {
          let y = HEIGHT - FOOT;
          return (
            <g key={begins}>
              {SERIES.map((series) => {
                const tall = height(valueOf(counts, series));
                y -= tall;
                return (
                  tall > 0 && (
                    <rect
                      key={series}
                      data-series={series}
                      x={LEFT + index * step + step * 0.15}
                      y={y}
                      width={step * 0.7}
                      height={tall}
                    />
                  )
                );
              })}
              {index % 4 === 3 && (
                <text x={LEFT + index * step + step / 2} y={HEIGHT - 5} textAnchor="middle">
                  {hour.format(new Date(begins))}
                </text>
              )}
            </g>
          );
        })}
      </svg>
      <Details>
        <Details.Summary>{text.health.chartTable}</Details.Summary>
        <Details.Content>
          <div className="scrolled" tabIndex={0} role="region" aria-label={text.health.chartTable}>
            <Table data-size="sm" data-color="neutral" aria-labelledby="chart">
              <Table.Head>
                <Table.Row>
                  <Table.HeaderCell>{text.health.hour}</Table.HeaderCell>
                  {SERIES.map((series) => (
                    <Table.HeaderCell key={series} className="figure">
                      {text.health.series[series]}
                    </Table.HeaderCell>
                  ))}
                </Table.Row>
              </Table.Head>
              <Table.Body>
                {hours.toReversed().map(({ begins, counts }) => (
                  <Table.Row key={begins}>
                    <Table.HeaderCell scope="row">{hour.format(new Date(begins))}</Table.HeaderCell>
                    {SERIES.map((series) => (
                      <Table.Cell key={series} className="figure">
                        {valueOf(counts, series).toLocaleString(text.locale)}
                      </Table.Cell>
                    ))}
                  </Table.Row>
                ))}
              </Table.Body>
            </Table>
          </div>
        </Details.Content>
      </Details>
    </section>
  );
}

function valueOf(counts: CountsFragment, series: (typeof SERIES)[number]): number {
  return series === 'open' ? counts.waiting + counts.dead : counts[series];
}

/** The next round number, so that the scale is easy to read. */
function scaleTop(most: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(most));
  const round = [1, 2, 4, 6, 10].find((factor) => factor * magnitude >= most) ?? 10;
  return Math.max(2, round * magnitude);
}
