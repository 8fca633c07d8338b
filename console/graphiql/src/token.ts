/**
 * Reads the token of a link such as /graphiql#token=eyJ… and takes it out of the address bar.
 *
 * A token travels in the fragment only: browsers keep fragments out of requests, so it reaches no access log and
 * no Referer header. Taking it out also keeps it from the history and from a copied address.
 */
export function takeTokenFromAddress(): string | null {
  const token = tokenInFragment();
  if (token !== null) {
    history.replaceState(history.state, '', location.pathname + location.search);
  }
  return token;
}

/** A second link opened in the same tab changes nothing but the fragment, which alone loads no page. */
export function reloadOnNewToken(): void {
  addEventListener('hashchange', () => {
    if (tokenInFragment() !== null) location.reload();
  });
}

function tokenInFragment(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get('token') || null;
}
