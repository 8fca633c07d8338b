import { useEffect, useState } from 'react';

import { useMessages } from '../messages';
import { store, useStore } from '../store';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

// One clock for all that is shown.
const clock = store(Date.now());
setInterval(() => clock.set(Date.now()), 10_000);

/** How long ago it was within a day, else the date; in full when pointed at. */
export function Ago({ at }: { at: string }) {
  const { locale, time } = useMessages();
  const now = useStore(clock);
  const moment = Date.parse(at);
  const passed = Math.max(now, moment) - moment;
  return (
    <time dateTime={at} title={inFull(at, locale)}>
      {passed < MINUTE ? time.justNow : passed < 24 * HOUR ? ago(passed, locale) : dayOf(at, locale)}
    </time>
  );
}

/** To the second; the day too unless it is today. */
export function Moment({ at }: { at: string }) {
  const { locale } = useMessages();
  const [today] = useState(() => new Date().toDateString());
  const date = new Date(at);
  const options: Intl.DateTimeFormatOptions =
    date.toDateString() === today
      ? { timeStyle: 'medium' }
      : { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' };
  return (
    <time dateTime={at} title={inFull(at, locale)}>
      {new Intl.DateTimeFormat(locale, options).format(date)}
    </time>
  );
}

export function Day({ at }: { at: string }) {
  const { locale } = useMessages();
  return (
    <time dateTime={at} title={inFull(at, locale)}>
      {dayOf(at, locale)}
    </time>
  );
}

export function useNow(): number {
  const now = useStore(clock);
  useEffect(() => clock.set(Date.now()), []);
  return now;
}

function ago(passed: number, locale: string): string {
  const format = new Intl.RelativeTimeFormat(locale, { style: 'short' });
  return passed < HOUR
    ? format.format(-Math.round(passed / MINUTE), 'minute')
    : format.format(-Math.round(passed / HOUR), 'hour');
}

function dayOf(at: string, locale: string): string {
  return new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year: 'numeric' }).format(new Date(at));
}

function inFull(at: string, locale: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'long' }).format(new Date(at));
}
