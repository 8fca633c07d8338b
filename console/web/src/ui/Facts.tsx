import type { ReactNode } from 'react';

import { useMessages } from '../messages';

export type Fact = [string, ReactNode];

/** Names and values; what has no value is told as well. */
export function Facts({ facts }: { facts: Fact[] }) {
  const { none } = useMessages();
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? none}</dd>
        </div>
      ))}
    </dl>
  );
}
