import { useState } from 'react';

interface Anchor {
  key: string;
  cursor: string;
}

/**
 * Where in the feed the live changes of a list begin: at the place at which its first page was read.
 *
 * `key` says which list it is, whatever the page. `fresh` is the cursor of an answer from the service for just that
 * list, or undefined while none is there.
 */
export function useAnchor(key: string, fresh: string | undefined): [string | null, (cursor: string | null) => void] {
  const [anchor, setAnchor] = useState<Anchor | null>(null);
  const valid = anchor?.key === key;
  if (!valid && fresh !== undefined) setAnchor({ key, cursor: fresh });
  return [valid ? anchor.cursor : null, (cursor) => setAnchor(cursor === null ? null : { key, cursor })];
}
