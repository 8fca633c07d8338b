import { Alert, Button, Dialog, Heading, Paragraph, Spinner, Textfield } from '@digdir/designsystemet-react';
import { useEffect, useState } from 'react';
import { useMutation } from 'urql';

import { ReplayDocument, type ReplayEventsInput, type ReplayMutation, type SyncLogFilter } from '../api/operations';
import { announce } from '../live/announcements';
import { useMessages } from '../messages';
import { Failure } from '../ui/Failure';

export type Selection =
  | { kind: 'ids'; ids: string[] }
  | { kind: 'matching'; organizationId?: string; filter: SyncLogFilter }
  | { kind: 'concern'; concernId: string };

type Result = ReplayMutation['replayEvents'];

function inputOf(selection: Selection): ReplayEventsInput {
  switch (selection.kind) {
    case 'ids':
      return { ids: selection.ids };
    case 'matching':
      return { filter: selection.filter, organizationId: selection.organizationId };
    case 'concern':
      return { concernId: selection.concernId };
  }
}

/** Tries it out first, and says how many there are and what would change; then does it, if that is wanted. */
export function ReplayDialog(props: { selection: Selection; onClose: () => void; onDone?: () => void }) {
  const { selection, onClose, onDone } = props;
  const text = useMessages();
  const [reason, explain] = useState('');
  const [trial, tryOut] = useMutation(ReplayDocument);
  const [run, replay] = useMutation(ReplayDocument);
  const input = inputOf(selection);

  const attempt = (): void => void tryOut({ input: { ...input, dryRun: true } });
  useEffect(attempt, []);

  const go = async (): Promise<void> => {
    const { data } = await replay({ input: { ...input, reason: reason.trim() || null } });
    if (data?.replayEvents.__typename !== 'ReplayEventsSuccess') return;
    announce(text.replay.done(data.replayEvents.matched, data.replayEvents.changed));
    onDone?.();
  };

  const expected = trial.data?.replayEvents;
  const done = run.data?.replayEvents;
  const finished = done?.__typename === 'ReplayEventsSuccess';
  const possible = expected?.__typename === 'ReplayEventsSuccess' && expected.matched > 0 && !finished;

  return (
    <Dialog open onClose={onClose} closeButton={text.replay.close} aria-labelledby="replay-title">
      <Dialog.Block>
        <Heading level={2} data-size="sm" id="replay-title">
          {text.replay.title}
        </Heading>
      </Dialog.Block>
      <Dialog.Block>
        {trial.fetching && <Spinner aria-label={text.replay.counting} />}
        {trial.error && <Failure error={trial.error} onRetry={attempt} />}
        {run.error && <Failure error={run.error} onRetry={() => void go()} />}
        {finished ? (
          <Alert data-color="success" data-testid="replayed">
            {text.replay.done(done.matched, done.changed)}
          </Alert>
        ) : (
          expected && <Expected result={done ?? expected} />
        )}
        {possible && (
          <>
            <Paragraph data-size="sm">{text.replay.explain}</Paragraph>
            <Textfield
              label={text.replay.reason}
              maxLength={1000}
              value={reason}
              onChange={({ target }) => explain(target.value)}
            />
          </>
        )}
      </Dialog.Block>
      <Dialog.Block className="actions">
        {possible && (
          <Button
            variant={expected.changed > 0 ? 'primary' : 'tertiary'}
            loading={run.fetching}
            onClick={() => void go()}
          >
            {text.replay.go(expected.matched)}
          </Button>
        )}
        <Button variant="secondary" onClick={onClose}>
          {finished ? text.replay.close : text.replay.cancel}
        </Button>
      </Dialog.Block>
    </Dialog>
  );
}

function Expected({ result }: { result: Result }) {
  const text = useMessages();
  if (result.__typename === 'ReplaySelectionError') return <Alert data-color="warning">{text.replay.tooMany}</Alert>;
  if (result.matched === 0) return <Paragraph>{text.replay.none}</Paragraph>;
  return (
    <div data-testid="expected">
      <Paragraph>
        <strong>{text.replay.matched(result.matched)}.</strong> {text.replay.wouldChange(result.changed)}
      </Paragraph>
      <ul className="tally">
        {result.outcomes.map(({ outcome, count }) => (
          <li key={outcome}>
            {text.outcome[outcome]}: {count}
          </li>
        ))}
      </ul>
    </div>
  );
}
