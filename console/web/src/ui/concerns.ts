import type { ConcernFieldsFragment, ConcernKind } from '../api/operations';
import type { Messages } from '../messages';

/** What is wrong, in a plain sentence with its figures. */
export function sentence({ kind, count, source }: ConcernFieldsFragment, { health: text }: Messages): string {
  return text.concerns[kind].is(count, source ?? '');
}

/** Concerns whose events can be applied again as a whole. */
export const REPLAYABLE: ReadonlySet<ConcernKind> = new Set(['REFUSED_DEACTIVATION', 'REJECTIONS', 'DEAD', 'UNKNOWN_TYPES']);

/** Where the console shows what a concern is about. */
export function placeOf({ kind, source }: ConcernFieldsFragment): string | undefined {
  const of = source ? `&kilde=${encodeURIComponent(source)}` : '';
  const places: Partial<Record<ConcernKind, string>> = {
    REFUSED_DEACTIVATION: `/logg?status=REJECTED${of}`,
    REJECTIONS: `/logg?status=REJECTED${of}`,
    UNKNOWN_TYPES: `/logg?status=SKIPPED${of}`,
    OVERTAKEN: `/logg?status=SKIPPED${of}`,
    WAITING: `/logg?status=FAILED${of}`,
    DEAD: `/logg?status=DEAD${of}`,
    MASS_DEACTIVATION: `/logg?hendelse=membership-deactivated${of}`,
    UNDECIDED_ROLES: '/roller',
    HELD: '/kilder',
    DRIFT: '/kilder',
    MISSED_WEBHOOKS: '/kilder',
    SILENCE: '/kilder',
    NEVER_RECEIVED: '/kilder',
    REFUSALS: '/kilder',
  };
  return places[kind];
}
