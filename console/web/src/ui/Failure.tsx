import { Alert, Button, Heading, Link, Paragraph } from '@digdir/designsystemet-react';
import { useEffect, useEffectEvent } from 'react';
import type { CombinedError } from 'urql';
import { Link as To, useLocation } from 'wouter';

import { isUnknown } from '../api/client';
import { useMessages } from '../messages';

const RETRY_MS = 5_000;

/** What went wrong, and the way out: it is tried again by itself where that may help. */
export function Failure({ error, onRetry }: { error: CombinedError; onRetry: () => void }) {
  const text = useMessages();
  const kind = kindOf(error);
  const retry = useEffectEvent(onRetry);
  const passes = kind === 'network' || kind === 'unavailable';

  useEffect(() => {
    if (!passes) return;
    const timer = setInterval(retry, RETRY_MS);
    return () => clearInterval(timer);
  }, [passes]);

  if (kind === 'forbidden') return <Forbidden />;
  if (kind === 'address') return <WrongAddress />;
  return (
    <Alert data-color={kind === 'unknown' ? 'warning' : 'danger'} className="failure" role="alert">
      <Heading level={2} data-size="xs">
        {kind === 'unknown' ? text.failure.unknownTitle : text.failure.title}
      </Heading>
      <Paragraph>{text.failure[kind]}</Paragraph>
      <Button variant="secondary" data-size="sm" onClick={onRetry}>
        {text.failure.retry}
      </Button>
    </Alert>
  );
}

/** The page is there, but not for this viewer. */
export function Forbidden() {
  const text = useMessages();
  return (
    <Alert data-color="warning" className="failure">
      <Heading level={2} data-size="xs">
        {text.failure.forbidden}
      </Heading>
      <Link asChild>
        <To href="/medlemmer">{text.notFound.home}</To>
      </Link>
    </Alert>
  );
}

/** The address asks for what there cannot be: trying again does not help. */
function WrongAddress() {
  const text = useMessages();
  const [path] = useLocation();
  return (
    <Alert data-color="warning" className="failure" role="alert">
      <Heading level={2} data-size="xs">
        {text.failure.addressTitle}
      </Heading>
      <Paragraph>{text.failure.address}</Paragraph>
      <Link asChild>
        <To href={`/${path.split('/')[1]}`}>{text.failure.whole}</To>
      </Link>
    </Alert>
  );
}

type Kind = 'address' | 'forbidden' | 'network' | 'text' | 'unavailable' | 'unknown';

function kindOf(error: CombinedError): Kind {
  const codes = error.graphQLErrors.map(({ extensions }) => extensions.code);
  const status = (error.response as Response | undefined)?.status ?? 0;
  if (codes.includes('FORBIDDEN')) return 'forbidden';
  if (error.graphQLErrors.some(isUnknown)) return 'unknown';
  if (codes.includes('BAD_USER_INPUT')) return 'address';
  if (status >= 500) return 'unavailable';
  return error.networkError ? 'network' : 'text';
}
