/** Sign-in by OpenID Connect: authorization code with PKCE. Tokens stay in memory. */
import { InMemoryWebStorage, UserManager, WebStorageStateStore, type User } from 'oidc-client-ts';

import type { Credentials, Ways } from './ways';

type Provider = NonNullable<Ways['oidc']>;

// That somebody was signed in, so that a reload asks the provider at once. Never what they had.
const BEFORE = 'likeperson:signed-in';

const NEEDS_THE_USER = new Set([
  ...['login_required', 'interaction_required', 'consent_required', 'account_selection_required'],
]);

let manager: UserManager | undefined;

function managerOf(provider: Provider): UserManager {
  manager ??= new UserManager({
    authority: provider.issuer,
    client_id: provider.clientId,
    scope: provider.scope,
    redirect_uri: `${location.origin}/`,
    post_logout_redirect_uri: `${location.origin}/`,
    userStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
    // The verifier and the place to come back to must survive the way to the provider.
    stateStore: new WebStorageStateStore({ store: sessionStorage }),
    automaticSilentRenew: false,
    loadUserInfo: false,
  });
  return manager;
}

/** What the address and the time before say: back from the provider, to be asked again, or a first visit. */
export async function continueOidc(
  provider: Provider,
  onExpired: () => void,
): Promise<Credentials | 'failed' | 'new'> {
  const oidc = managerOf(provider);
  const query = new URLSearchParams(location.search);
  try {
    if (query.has('state') && (query.has('code') || query.has('error'))) {
      return await backFromProvider(oidc, query, onExpired);
    }
    if (sessionStorage.getItem(BEFORE) !== null) {
      sessionStorage.removeItem(BEFORE);
      await toProvider(provider, 'none');
      return await new Promise(() => {});
    }
    return 'new';
  } catch {
    history.replaceState(null, '', '/');
    // Asked without a word to the user, a provider may well say that it needs one.
    return NEEDS_THE_USER.has(query.get('error') ?? '') ? 'new' : 'failed';
  }
}

export async function toProvider(provider: Provider, prompt?: 'none'): Promise<void> {
  const state = location.pathname + location.search;
  await managerOf(provider).signinRedirect(prompt ? { state, prompt } : { state });
}

async function backFromProvider(
  oidc: UserManager,
  query: URLSearchParams,
  onExpired: () => void,
): Promise<Credentials> {
  const user = await oidc.signinRedirectCallback(`${location.origin}/?${query}`);
  const place = typeof user.state === 'string' && user.state.startsWith('/') ? user.state : '/';
  history.replaceState(null, '', place);
  sessionStorage.setItem(BEFORE, '');
  let latest: User = user;

  oidc.events.addUserLoaded((renewed) => {
    latest = renewed;
  });
  oidc.events.addAccessTokenExpiring(() => {
    // Without a refresh token nothing can be done unasked; the page then says so when it has expired.
    if (latest.refresh_token) oidc.signinSilent().catch(() => {});
  });
  oidc.events.addAccessTokenExpired(onExpired);

  return {
    token: () => latest.access_token,
    async signOut() {
      sessionStorage.removeItem(BEFORE);
      const ends = await oidc.metadataService.getEndSessionEndpoint().catch(() => undefined);
      if (ends) await oidc.signoutRedirect();
      else await oidc.removeUser();
    },
  };
}
