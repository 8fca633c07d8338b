import { Alert, Button, Dialog, Heading, Paragraph, Textfield } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { useMutation } from 'urql';

import { AcknowledgeConcernDocument, type ConcernFieldsFragment } from '../api/operations';
import { announce } from '../live/announcements';
import { useMessages } from '../messages';
import { Failure } from '../ui/Failure';
import { sentence } from '../ui/concerns';

interface Props {
  concern: ConcernFieldsFragment;
  onClose: () => void;
  onDone: () => void;
}

/** Says what taking a concern on means, before it is done. */
export function ConcernDialog({ concern, onClose, onDone }: Props) {
  const text = useMessages();
  const [reason, explain] = useState('');
  const [{ fetching, error, data }, acknowledge] = useMutation(AcknowledgeConcernDocument);

  const go = async (): Promise<void> => {
    const { data } = await acknowledge({ input: { concernId: concern.id, reason: reason.trim() || null } });
    if (data?.acknowledgeConcern.__typename !== 'AcknowledgeConcernSuccess') return;
    announce(text.concern.done);
    onDone();
    onClose();
  };

  return (
    <Dialog open onClose={onClose} closeButton={text.concern.cancel} aria-labelledby="concern-title">
      <Dialog.Block>
        <Heading level={2} data-size="sm" id="concern-title">
          {text.concern.title}
        </Heading>
      </Dialog.Block>
      <Dialog.Block>
        <Paragraph>
          <strong>{sentence(concern, text)}</strong>
        </Paragraph>
        <Paragraph data-size="sm">{text.concern.means}</Paragraph>
        <Textfield
          label={text.concern.reason}
          maxLength={1000}
          value={reason}
          onChange={({ target }) => explain(target.value)}
        />
        {data?.acknowledgeConcern.__typename === 'AcknowledgeConcernError' && (
          <Alert data-color="warning" role="alert">
            {text.concern.gone}
          </Alert>
        )}
        {error && <Failure error={error} onRetry={() => void go()} />}
      </Dialog.Block>
      <Dialog.Block className="actions">
        <Button loading={fetching} onClick={() => void go()}>
          {text.concern.go}
        </Button>
        <Button variant="secondary" onClick={onClose}>
          {text.concern.cancel}
        </Button>
      </Dialog.Block>
    </Dialog>
  );
}
