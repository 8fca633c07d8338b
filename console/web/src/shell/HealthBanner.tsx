import { Alert, Link } from '@digdir/designsystemet-react';
import { Link as To, useLocation } from 'wouter';

import { ConcernsDocument } from '../api/operations';
import { useQuery } from '../api/query';
import { usePoll } from '../live/poll';
import { useMessages } from '../messages';
import { sentences } from '../ui/concerns';
import { useNow } from '../ui/Time';

const POLL_MS = 10_000;

/** Tells administrators on every page when the sync needs to be looked after. */
export function HealthBanner() {
  const text = useMessages();
  const now = useNow();
  const [path] = useLocation();
  const [{ data }, ask] = useQuery({ query: ConcernsDocument, requestPolicy: 'cache-and-network' });
  usePoll(() => ask({ requestPolicy: 'network-only' }), POLL_MS);

  const wrong = data ? sentences(data.syncHealth, now, text) : [];
  if (wrong.length === 0 || path === '/driftsstatus') return null;
  return (
    <Alert data-color="danger" className="banner" role="status" data-testid="health-banner">
      <span>{wrong.map(([, sentence]) => sentence).join(' ')}</span>
      <Link asChild>
        <To href="/driftsstatus">{text.health.see}</To>
      </Link>
    </Alert>
  );
}
