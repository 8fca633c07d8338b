/** Which parts of which rows have just changed. */
import { useCallback, useEffect, useRef, useState } from 'react';

const SHOWN_MS = 12_000;

export type Marks<Column extends string> = ReadonlyMap<string, ReadonlySet<Column>>;

export function useMarks<Column extends string>(): [Marks<Column>, (id: string, columns: Column[]) => void] {
  const [marks, setMarks] = useState<Marks<Column>>(new Map());
  const timers = useRef(new Map<string, ReturnType<typeof setTimeout>>());

  const mark = useCallback((id: string, columns: Column[]) => {
    setMarks((before) => new Map(before).set(id, new Set([...(before.get(id) ?? []), ...columns])));
    clearTimeout(timers.current.get(id));
    const forget = setTimeout(() => {
      timers.current.delete(id);
      setMarks((before) => {
        const after = new Map(before);
        after.delete(id);
        return after;
      });
    }, SHOWN_MS);
    timers.current.set(id, forget);
  }, []);

  useEffect(() => {
    const pending = timers.current;
    return () => pending.forEach((timer) => clearTimeout(timer));
  }, []);

  return [marks, mark];
}
