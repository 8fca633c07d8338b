/** What a list shows stands in the page's address: it can be shared, kept, and gone back to. */
import { useLocation, useSearchParams } from 'wouter';

import { remember } from '../ui/Back';
import { DEFAULT_SIZE } from '../ui/Pager';

export interface Page {
  number: number;
  size: number;
  after: string | null;
  before: string | null;
}

type Changes = Record<string, string | number | null>;

export interface Place {
  get(name: string): string | null;
  page: Page;
  /** Other filters or another order begin with the first page again. `replace`: no new step of the history. */
  show(changes: Changes, options?: { replace: boolean }): void;
  turn(direction: 'next' | 'previous', cursor: string): void;
}

export function usePlace(): Place {
  const [params, setParams] = useSearchParams();
  const [path] = useLocation();
  remember(path, params);
  const number = Math.max(1, Number(params.get('side')) || 1);

  const change = (changes: Changes, { replace } = { replace: false }): void => {
    setParams(
      (now) => {
        const next = new URLSearchParams(now);
        for (const [name, value] of Object.entries(changes)) {
          if (value === null || value === '') next.delete(name);
          else next.set(name, String(value));
        }
        return next;
      },
      { replace },
    );
  };

  return {
    get: (name) => params.get(name),
    page: {
      number,
      size: [25, 50, 100].find((size) => size === Number(params.get('antall'))) ?? DEFAULT_SIZE,
      after: params.get('etter'),
      before: params.get('foer'),
    },
    show: (changes, options) => change({ ...changes, side: null, etter: null, foer: null }, options),
    turn: (direction, cursor) =>
      direction === 'next'
        ? change({ side: number + 1, etter: cursor, foer: null })
        : change(number <= 2 ? { side: null, etter: null, foer: null } : { side: number - 1, foer: cursor, etter: null }),
  };
}
