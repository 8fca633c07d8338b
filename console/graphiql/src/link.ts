/**
 * Signs in by the one-time code of a link such as /graphiql#code=…, which the demo and `./run token --link` print.
 *
 * Browsers write addresses to disk: to the history, and with the tabs to restore. So a link carries a code that is
 * worth nothing after its first use or a minute, and never a token; a token in the address is not used.
 */
export async function tokenOfLink(): Promise<string | null> {
  const code = takeCodeFromAddress();
  if (code === null) return null;
  const response = await fetch('/sign-in', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  });
  return response.ok ? ((await response.json()) as { token: string }).token : null;
}

/** A second link opened in the same tab changes nothing but the fragment, which alone loads no page. */
export function reloadOnNewCode(): void {
  addEventListener('hashchange', () => {
    if (location.hash !== '') location.reload();
  });
}

function takeCodeFromAddress(): string | null {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (location.hash !== '') history.replaceState(history.state, '', location.pathname + location.search);
  return fragment.get('code') || null;
}
