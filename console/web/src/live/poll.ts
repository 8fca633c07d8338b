import { useEffect, useEffectEvent } from 'react';

/** Does it in the interval while the page is looked at, and when it is looked at again. */
export function usePoll(action: () => void, interval: number): void {
  const act = useEffectEvent(action);
  useEffect(() => {
    const look = (): void => {
      if (document.visibilityState === 'visible') act();
    };
    const timer = setInterval(look, interval);
    document.addEventListener('visibilitychange', look);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [interval]);
}
