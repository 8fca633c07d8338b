import { Alert, Link } from '@digdir/designsystemet-react';
import { Link as To, useLocation } from 'wouter';

import { ConcernsDocument } from '../api/operations';
import { useQuery } from '../api/query';
import { usePoll } from '../live/poll';
import { useMessages } from '../messages';
import { sentence } from '../ui/concerns';

const POLL_MS = 10_000;
const SHOWN = 2;

/** Tells administrators on every page when the sync needs to be looked after. */
export function HealthBanner() {
  const text = useMessages();
  const [path] = useLocation();
  const [{ data }, ask] = useQuery({ query: ConcernsDocument, requestPolicy: 'cache-and-network' });
  usePoll(() => ask({ requestPolicy: 'network-only' }), POLL_MS);

  const wrong = data?.syncHealth.concerns.filter(({ state }) => state === 'OPEN') ?? [];
  if (wrong.length === 0 || path === '/driftsstatus') return null;
  return (
    <Alert data-color="danger" className="banner" role="status" data-testid="health-banner">
      <span>
        {wrong
          .slice(0, SHOWN)
          .map((concern) => sentence(concern, text))
          .join(' ')}{' '}
        {wrong.length > SHOWN && text.concern.more(wrong.length - SHOWN)}
      </span>
      <Link asChild>
        <To href="/driftsstatus">{text.health.see}</To>
      </Link>
    </Alert>
  );
}
