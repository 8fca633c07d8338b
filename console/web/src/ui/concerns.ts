import type { ConcernsQuery, SyncConcern } from '../api/operations';
import type { Messages } from '../messages';

type Health = Pick<
  ConcernsQuery['syncHealth'],
  'concerns' | 'lastReceivedAt' | 'oldestWaitingSince' | 'dead' | 'lastHour'
>;

const MINUTE = 60_000;

/** What is wrong, each in a plain sentence. */
export function sentences(health: Health, now: number, { health: text }: Messages): [SyncConcern, string][] {
  const since = (at: string | null, unit: number): number => (at ? Math.floor((now - Date.parse(at)) / unit) : 0);
  const say: Record<SyncConcern, () => string> = {
    REJECTIONS: () => text.concerns.REJECTIONS(health.lastHour.rejected, health.lastHour.received),
    WAITING: () => text.concerns.WAITING(since(health.oldestWaitingSince, MINUTE)),
    DEAD: () => text.concerns.DEAD(health.dead),
    SILENCE: () => text.concerns.SILENCE(since(health.lastReceivedAt, 60 * MINUTE)),
  };
  return health.concerns.map((concern) => [concern, say[concern]()]);
}
