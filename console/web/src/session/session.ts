/** Who is signed in. Their token stays in memory: nothing here, nor anywhere else, writes it down. */
import { store } from '../store';
import type { Credentials, Person, Ways } from './ways';

export type Trouble = 'expired' | 'inactive' | 'failed' | 'unreachable' | 'usedLink' | 'tokenInAddress';

export type Session =
  | { state: 'starting' }
  | { state: 'out'; ways: Ways; trouble?: Trouble }
  | { state: 'in'; ways: Ways; credentials: Credentials };

export const session = store<Session>({ state: 'starting' });

const PERSON = 'likeperson:person';
const NO_WAYS: Ways = { oidc: null, people: null };

export async function begin(): Promise<void> {
  const fragment = takeFragment();
  // A second link opened in the same tab changes nothing but the fragment, which alone loads no page.
  addEventListener('hashchange', () => {
    if (signsIn(location.hash)) location.reload();
  });
  const code = fragment.get('code');
  const ways = await waysToSignIn();
  if (ways === null) {
    session.set({ state: 'out', ways: NO_WAYS, trouble: 'unreachable' });
  } else if (code !== null) {
    const token = await exchange(code);
    if (token !== null) enter(ways, unchanging(token));
    else session.set({ state: 'out', ways, trouble: 'usedLink' });
  } else if (fragment.has('token')) {
    session.set({ state: 'out', ways, trouble: 'tokenInAddress' });
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

/** Signs in with what somebody has pasted: a token, or a link of this service with its code. */
export function signInByToken(ways: Ways, pasted: string): void {
  const link = URL.parse(pasted.trim());
  if (link?.origin === location.origin && signsIn(link.hash)) {
    location.hash = link.hash;
    return;
  }
  enter(ways, unchanging(pasted.trim().replace(/^Bearer\s+/i, '')));
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

/** Exchanges the one-time code of a link for a token; null if it was used before, or is older than a minute. */
async function exchange(code: string): Promise<string | null> {
  try {
    const response = await fetch('/sign-in', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code }),
    });
    return response.ok ? ((await response.json()) as { token: string }).token : null;
  } catch {
    return null;
  }
}

/**
 * Takes the fragment of a link such as /#code=… out of the address bar.
 *
 * Browsers write addresses to disk: to the history, and with the tabs to restore. So a link carries a code that is
 * worth nothing after its first use or a minute, and never a token. A token in the address is not used: whoever sends
 * such a link could sign others in as themselves.
 */
function takeFragment(): URLSearchParams {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (location.hash !== '') history.replaceState(history.state, '', location.pathname + location.search);
  return fragment;
}

/** Links within a page, such as the one that skips to its content, have fragments as well. */
function signsIn(fragment: string): boolean {
  const given = new URLSearchParams(fragment.slice(1));
  return given.has('code') || given.has('token');
}
