import { useEffect, useEffectEvent, useRef, useCallback } from 'react';

/** Does it soon, and however often it is asked, not more than once in the interval. */
export function useThrottled(action: () => void, interval: number): () => void {
  const act = useEffectEvent(action);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const last = useRef(-Infinity);
  const run = useRef(() => {});

  useEffect(() => {
    run.current = () => {
      timer.current = undefined;
      last.current = performance.now();
      act();
    };
    return () => clearTimeout(timer.current);
  }, []);

  return useCallback(() => {
    timer.current ??= setTimeout(() => run.current(), Math.max(0, last.current + interval - performance.now()));
  }, [interval]);
}
