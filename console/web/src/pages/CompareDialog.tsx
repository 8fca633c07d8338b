import { Alert, Button, Checkbox, Dialog, Heading, Paragraph, Textfield } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { useMutation } from 'urql';

import { StartReconciliationDocument } from '../api/operations';
import { announce } from '../live/announcements';
import { useMessages } from '../messages';
import { Failure } from '../ui/Failure';

const LONGEST_REASON = 1000;

/** Asks for a comparison of a source, with the reason that the audit trail keeps. */
export function CompareDialog(props: { source: string; onClose: () => void; onDone: () => void }) {
  const { source, onClose, onDone } = props;
  const text = useMessages();
  const [full, setFull] = useState(false);
  const [dryRun, setDryRun] = useState(false);
  const [reason, explain] = useState('');
  const [{ fetching, error, data }, start] = useMutation(StartReconciliationDocument);
  const answer = data?.startReconciliation;

  const go = async (): Promise<void> => {
    const { data } = await start({ input: { source, full, dryRun, reason } });
    if (data?.startReconciliation.__typename !== 'StartReconciliationSuccess') return;
    announce(text.compare.done(source));
    onDone();
    onClose();
  };

  return (
    <Dialog open onClose={onClose} closeButton={text.compare.cancel} aria-labelledby="compare-title">
      <Dialog.Block>
        <Heading level={2} data-size="sm" id="compare-title">
          {text.compare.title(source)}
        </Heading>
      </Dialog.Block>
      <Dialog.Block>
        <Paragraph data-size="sm">{text.compare.explain}</Paragraph>
        <div className="levels">
          <Checkbox
            label={text.compare.full}
            description={text.compare.fullHelp}
            checked={full}
            onChange={({ target }) => setFull(target.checked)}
          />
          <Checkbox
            label={text.compare.dryRun}
            description={text.compare.dryRunHelp}
            checked={dryRun}
            onChange={({ target }) => setDryRun(target.checked)}
          />
        </div>
        <Textfield
          label={text.compare.reason}
          required
          maxLength={LONGEST_REASON}
          value={reason}
          onChange={({ target }) => explain(target.value)}
        />
        {answer && answer.__typename === 'StartReconciliationError' && (
          <Alert data-color="warning" role="alert" data-testid="refused">
            {text.compare.refusals[answer.code] ?? text.failure.text}
          </Alert>
        )}
        {error && <Failure error={error} onRetry={() => void go()} />}
      </Dialog.Block>
      <Dialog.Block className="actions">
        <Button loading={fetching} onClick={() => void go()}>
          {text.compare.go}
        </Button>
        <Button variant="secondary" onClick={onClose}>
          {text.compare.cancel}
        </Button>
      </Dialog.Block>
    </Dialog>
  );
}
