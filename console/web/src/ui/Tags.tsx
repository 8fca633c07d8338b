import { Tag } from '@digdir/designsystemet-react';

import type { ActivationState, ReconciliationStatus, SyncOutcome, SyncStatus } from '../api/operations';
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

const RUN_COLORS = { RUNNING: 'info', SUCCEEDED: 'success', FAILED: 'danger', HELD: 'warning' } as const;

export function StateTag({ state }: { state: ActivationState }) {
  const text = useMessages();
  return <Tag data-color={state === 'ACTIVE' ? 'success' : 'neutral'}>{text.state[state]}</Tag>;
}

export function StatusTag({ status }: { status: SyncStatus }) {
  const text = useMessages();
  return <Tag data-color={STATUS_COLORS[status]}>{text.status[status]}</Tag>;
}

/** Where a run stands; of a dry run also that it was one. */
export function RunTag({ status, dryRun }: { status: ReconciliationStatus; dryRun: boolean }) {
  const { sources } = useMessages();
  return (
    <span className="result">
      <Tag data-color={RUN_COLORS[status]}>{sources.statuses[status]}</Tag>
      {dryRun && <small>{sources.dryRun}</small>}
    </span>
  );
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
