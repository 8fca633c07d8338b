/** Where reading goes on: at the top of a new page, and where one was on the way back. */
import { useLayoutEffect, useRef, type RefObject } from 'react';
import { useLocation, useSearchParams } from 'wouter';

const PATIENCE_MS = 2_000;

const depths = new Map<string, number>();

// Listened for before the router does, which draws the page as soon as it hears of it.
let wentBack = false;
addEventListener('popstate', () => {
  wentBack = true;
});
history.scrollRestoration = 'manual';

export function useReadingPlace(main: RefObject<HTMLElement | null>): void {
  const [path] = useLocation();
  const [params] = useSearchParams();
  const place = `${path} ${params.get('side') ?? ''}`;
  const address = `${path}?${params}`;
  const before = useRef(place);

  // How far down one was when the page was left: a shorter one that takes its place scrolls at once.
  useLayoutEffect(() => {
    const keep = (): void => void depths.set(address, scrollY);
    addEventListener('scroll', keep, { passive: true });
    return () => removeEventListener('scroll', keep);
  }, [address]);

  useLayoutEffect(() => {
    const depth = wentBack ? depths.get(address) : undefined;
    wentBack = false;
    // Another filter on the same page: reading goes on where it is.
    if (before.current === place) return;
    before.current = place;
    main.current?.focus({ preventScroll: true });
    return scrollOnceThere(depth ?? 0);
  }, [address, place, main]);
}

/** Scrolls down as soon as the page is long enough: its rows may have to be asked for. */
function scrollOnceThere(depth: number): () => void {
  const end = Date.now() + PATIENCE_MS;
  let frame = 0;
  const attempt = (): void => {
    scrollTo(0, depth);
    if (scrollY < depth - 1 && Date.now() < end) frame = requestAnimationFrame(attempt);
  };
  attempt();
  return () => cancelAnimationFrame(frame);
}
