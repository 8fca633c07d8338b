/** What screen readers are told: at most one sentence every two seconds, however fast things change. */
import { useEffect, useState } from 'react';

const PAUSE_MS = 2_000;

type Fold = (count: number) => string;

let waiting: string[] = [];
let heard: (() => void) | undefined;

export function announce(sentence: string): void {
  waiting.push(sentence);
  heard?.();
}

/** What the live region says now. `fold` says how many there were where telling each would take too long. */
export function useAnnouncement(fold: Fold): string {
  const [said, say] = useState('');

  useEffect(() => {
    let pause: ReturnType<typeof setTimeout> | undefined;
    const speak = (): void => {
      if (pause !== undefined || waiting.length === 0) return;
      say(waiting.length > 1 ? fold(waiting.length) : waiting[0]!);
      waiting = [];
      pause = setTimeout(() => {
        pause = undefined;
        speak();
      }, PAUSE_MS);
    };
    heard = speak;
    speak();
    return () => {
      heard = undefined;
      clearTimeout(pause);
    };
  }, [fold]);

  return said;
}
