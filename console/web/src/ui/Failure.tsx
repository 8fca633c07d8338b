import { Alert, Button, Heading, Paragraph } from '@digdir/designsystemet-react';
import type { CombinedError } from 'urql';

import { useMessages } from '../messages';

/** What went wrong, and the way to try it again. */
export function Failure({ error, onRetry }: { error: CombinedError; onRetry: () => void }) {
  const text = useMessages();
  const forbidden = error.graphQLErrors.some(({ extensions }) => extensions.code === 'FORBIDDEN');
  return (
    <Alert data-color={forbidden ? 'warning' : 'danger'} className="failure">
      <Heading level={2} data-size="xs">
        {forbidden ? text.failure.forbidden : text.failure.title}
      </Heading>
      {!forbidden && (
        <>
          <Paragraph>{error.networkError ? text.failure.network : text.failure.text}</Paragraph>
          <Button variant="secondary" data-size="sm" onClick={onRetry}>
            {text.failure.retry}
          </Button>
        </>
      )}
    </Alert>
  );
}
