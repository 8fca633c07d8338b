import { Alert, Button, Dialog, Heading, Paragraph, Textfield } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { useMutation } from 'urql';

import { ReleaseHeldDocument } from '../api/operations';
import { announce } from '../live/announcements';
import { useMessages } from '../messages';
import { Failure } from '../ui/Failure';

const LONGEST_REASON = 1000;

interface Props {
  run: string;
  release: boolean;
  names: string[];
  more: boolean;
  onClose: () => void;
  onDone: () => void;
}

/** Says whom it is about before it is decided, and asks why. */
export function HeldDialog({ run, release, names, more, onClose, onDone }: Props) {
  const text = useMessages();
  const [reason, explain] = useState('');
  const [{ fetching, error, data }, decide] = useMutation(ReleaseHeldDocument);
  const answer = data?.releaseHeld;

  const go = async (): Promise<void> => {
    const { data } = await decide({ input: { reconciliationId: run, release, reason } });
    if (data?.releaseHeld.__typename !== 'ReleaseHeldSuccess') return;
    announce(text.held.done(data.releaseHeld.decided, release));
    onDone();
    onClose();
  };

  return (
    <Dialog open onClose={onClose} closeButton={text.held.cancel} aria-labelledby="held-title">
      <Dialog.Block>
        <Heading level={2} data-size="sm" id="held-title">
          {release ? text.held.release : text.held.discard}
        </Heading>
      </Dialog.Block>
      <Dialog.Block>
        <Alert data-color={release ? 'warning' : 'info'} data-testid="consequence">
          {release ? text.held.releaseMeans(names.length, more) : text.held.discardMeans(names.length, more)}
        </Alert>
        <Paragraph data-size="sm">
          {names.slice(0, 10).join(', ')}
          {(more || names.length > 10) && ' …'}
        </Paragraph>
        <Textfield
          label={text.held.reason}
          required
          maxLength={LONGEST_REASON}
          value={reason}
          onChange={({ target }) => explain(target.value)}
        />
        {answer && answer.__typename === 'ReleaseHeldError' && (
          <Alert data-color="warning" role="alert" data-testid="refused">
            {text.held.refusals[answer.code] ?? text.failure.text}
          </Alert>
        )}
        {error && <Failure error={error} onRetry={() => void go()} />}
      </Dialog.Block>
      <Dialog.Block className="actions">
        <Button loading={fetching} data-color={release ? 'danger' : undefined} onClick={() => void go()}>
          {release ? text.held.releaseGo : text.held.discardGo}
        </Button>
        <Button variant="secondary" onClick={onClose}>
          {text.held.cancel}
        </Button>
      </Dialog.Block>
    </Dialog>
  );
}
