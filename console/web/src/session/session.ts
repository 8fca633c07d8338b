/** Who is signed in. Their token stays in memory: nothing here, nor anywhere else, writes it down. */
import { store } from '../store';
import type { Credentials, Person, Ways } from './ways';

export type Trouble = 'expired' | 'inactive' | 'failed' | 'unreachable';

export type Session =
  | { state: 'starting' }
  | { state: 'out'; ways: Ways; trouble?: Trouble }
  | { state: 'in'; ways: Ways; credentials: Credentials };

export const session = store<Session>({ state: 'starting' });

const PERSON = 'likeperson:person';
const NO_WAYS: Ways = { oidc: null, people: null };

export async function begin(): Promise<void> {
  const linked = takeTokenFromAddress();
  // A second link opened in the same tab changes nothing but the fragment, which alone loads no page.
  addEventListener('hashchange', () => {
    if (tokenInAddress() !== null) location.reload();
  });
  const ways = await waysToSignIn();
  if (ways === null) {
    session.set({ state: 'out', ways: NO_WAYS, trouble: 'unreachable' });
  } else if (linked !== null) {
    enter(ways, unchanging(linked));
  } else if (ways.oidc !== null) {
    // Loaded only where it is needed: the library is a fifth of the whole.
    const { continueOidc } = await import('./oidc');
    const result = await continueOidc(ways.oidc, () => refused('UNAUTHENTICATED'));
    if (typeof result === 'object') enter(ways, result);
    else session.set({ state: 'out', ways, trouble: result === 'failed' ? 'failed' : undefined });
  } else {
    const person = ways.people?.find(({ name }) => (name ?? '') === sessionStorage.getItem(PERSON));
    if (person) be(ways, person);
    else session.set({ state: 'out', ways });
  }
}

export async function signInByOidc(ways: Ways): Promise<void> {
  if (ways.oidc === null) return;
  const { toProvider } = await import('./oidc');
  try {
    await toProvider(ways.oidc);
  } catch {
    session.set({ state: 'out', ways, trouble: 'failed' });
  }
}

/** The choice outlives a reload of the page; the token does not, the service makes another one. */
export function be(ways: Ways, person: Person): void {
  sessionStorage.setItem(PERSON, person.name ?? '');
  enter(ways, unchanging(person.token));
}

export async function signOut(): Promise<void> {
  const now = session.get();
  if (now.state !== 'in') return;
  sessionStorage.removeItem(PERSON);
  session.set({ state: 'out', ways: now.ways });
  await now.credentials.signOut();
}

/** The service serves this token no longer. */
export function refused(code: string): void {
  const now = session.get();
  if (now.state !== 'in') return;
  sessionStorage.removeItem(PERSON);
  session.set({ state: 'out', ways: now.ways, trouble: code === 'MEMBER_INACTIVE' ? 'inactive' : 'expired' });
}

function enter(ways: Ways, credentials: Credentials): void {
  session.set({ state: 'in', ways, credentials });
}

function unchanging(token: string): Credentials {
  return { token: () => token, signOut: () => Promise.resolve() };
}

async function waysToSignIn(): Promise<Ways | null> {
  try {
    const response = await fetch('/sign-in');
    return response.ok ? ((await response.json()) as Ways) : null;
  } catch {
    return null;
  }
}

/**
 * The token of a link such as /#token=eyJ…, which is taken out of the address bar and so out of the history.
 *
 * It travels in the fragment only: browsers keep that out of requests, so it reaches no access log.
 */
function takeTokenFromAddress(): string | null {
  const token = tokenInAddress();
  if (token !== null) history.replaceState(history.state, '', location.pathname + location.search);
  return token;
}

function tokenInAddress(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get('token') || null;
}
