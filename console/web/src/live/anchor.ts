import { useEffect, useRef, useState } from 'react';

interface Anchor {
  key: string;
  /** Null after the stream has ended, until the list was queried again. */
  cursor: string | null;
}

const PAUSE_MS = 2_000;

/**
 * Where in the feed the live changes of a list begin: at the place at which its first page was read.
 *
 * `key` says which list it is, whatever the page; `fresh` is the cursor of an answer from the service for just that
 * list, or undefined while none is there. The second result is for a stream that cannot go on: it calls `queried`,
 * again and again if need be, for the place to begin anew.
 */
export function useAnchor(
  key: string,
  fresh: string | undefined,
  queried: () => Promise<string | undefined>,
): [string | null, () => void] {
  const [anchor, setAnchor] = useState<Anchor | null>(null);
  const wanted = useRef(key);
  useEffect(() => {
    wanted.current = key;
    return () => {
      wanted.current = '';
    };
  }, [key]);

  const valid = anchor?.key === key;
  if (!valid && fresh !== undefined) setAnchor({ key, cursor: fresh });

  const lose = (): void => {
    setAnchor({ key, cursor: null });
    const again = async (): Promise<void> => {
      const cursor = await queried();
      if (wanted.current !== key) return;
      if (cursor === undefined) setTimeout(() => void again(), PAUSE_MS);
      else setAnchor({ key, cursor });
    };
    void again();
  };
  return [valid ? anchor.cursor : null, lose];
}
