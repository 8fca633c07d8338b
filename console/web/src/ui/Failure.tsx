import { Alert, Button, Heading, Paragraph } from '@digdir/designsystemet-react';
import type { CombinedError } from 'urql';

import { isUnknown } from '../api/client';
import { useMessages } from '../messages';

/** What went wrong, and the way to try it again. */
export function Failure({ error, onRetry }: { error: CombinedError; onRetry: () => void }) {
  const text = useMessages();
  const forbidden = error.graphQLErrors.some(({ extensions }) => extensions.code === 'FORBIDDEN');
  const unknown = error.graphQLErrors.some(isUnknown);
  return (
    <Alert data-color={forbidden || unknown ? 'warning' : 'danger'} className="failure">
      <Heading level={2} data-size="xs">
        {forbidden ? text.failure.forbidden : unknown ? text.failure.unknownTitle : text.failure.title}
      </Heading>
      {!forbidden && (
        <>
          <Paragraph>{unknown ? text.failure.unknown : error.networkError ? text.failure.network : text.failure.text}</Paragraph>
          <Button variant="secondary" data-size="sm" onClick={onRetry}>
            {text.failure.retry}
          </Button>
        </>
      )}
    </Alert>
  );
}
