import { Tag } from '@digdir/designsystemet-react';

import type { ActivationState, SyncOutcome, SyncStatus } from '../api/operations';
import { useMessages } from '../messages';
import { useWords } from './words';

const STATUS_COLORS = {
  PENDING: 'info',
  SUCCESS: 'success',
  SKIPPED: 'neutral',
  FAILED: 'warning',
  DEAD: 'danger',
  REJECTED: 'danger',
} as const;

export function StateTag({ state }: { state: ActivationState }) {
  const text = useMessages();
  return <Tag data-color={state === 'ACTIVE' ? 'success' : 'neutral'}>{text.state[state]}</Tag>;
}

export function StatusTag({ status }: { status: SyncStatus }) {
  const text = useMessages();
  return <Tag data-color={STATUS_COLORS[status]}>{text.status[status]}</Tag>;
}

/** What the service remarks; in English where we have no words for it. */
export function Remark({ detail }: { detail: string | null }) {
  const said = useWords().detail(detail ?? '');
  return <span lang={said === detail ? 'en' : undefined}>{said}</span>;
}

/** Where an event stands, and what it did. */
export function Result({ status, outcome }: { status: SyncStatus; outcome: SyncOutcome | null }) {
  const text = useMessages();
  return (
    <span className="result">
      <StatusTag status={status} />
      {outcome && <small>{text.outcome[outcome]}</small>}
    </span>
  );
}
