/** News of a list that wait until they are wanted: rows do not move under a hand, or while the list is paused. */
import { useRef, useState, type FocusEvent } from 'react';

import { paused } from '../preferences';
import { announce } from './announcements';
import { useStore } from '../store';

export interface Held {
  /** How many changes wait to be shown. */
  waiting: number;
  /** Something came or went: shown at once, unless a hand is on the list or it is paused. */
  arrived(): void;
  show(): void;
  /** For screen readers, unless lists are to stand still. */
  tell(sentence: string): void;
  /** For the element that holds the rows. */
  hand: {
    onPointerEnter(): void;
    onPointerLeave(): void;
    onFocus(): void;
    onBlur(event: FocusEvent): void;
  };
}

/**
 * `list` says which rows are shown: another page or filter has been asked for anew, and nothing waits there.
 * `busy`: rows are chosen, so that they must stay where they are.
 */
export function useHeld(list: string, refresh: () => void, busy = false): Held {
  const [waiting, count] = useState(0);
  const [shown, change] = useState(list);
  if (shown !== list) {
    change(list);
    count(0);
  }
  const isPaused = useStore(paused) === 'yes';
  const pointed = useRef(false);
  const focused = useRef(false);

  return {
    waiting,
    arrived() {
      if (isPaused || busy || pointed.current || focused.current || waiting > 0) count((before) => before + 1);
      else refresh();
    },
    show() {
      count(0);
      refresh();
    },
    tell(sentence) {
      if (!isPaused) announce(sentence);
    },
    hand: {
      onPointerEnter() {
        pointed.current = true;
      },
      onPointerLeave() {
        pointed.current = false;
      },
      onFocus() {
        focused.current = true;
      },
      onBlur(event) {
        focused.current = event.currentTarget.contains(event.relatedTarget);
      },
    },
  };
}
