/** What somebody prefers, kept by the browser: language, theme, and whether lists stand still. Never who they are. */
import { store, type Store } from './store';

export type Language = 'nb' | 'en';
export type Theme = 'auto' | 'light' | 'dark';

export const language = kept<Language>('language', ['nb', 'en'], (value) => {
  document.documentElement.lang = value;
});

export const theme = kept<Theme>('theme', ['auto', 'light', 'dark'], (value) => {
  document.documentElement.dataset.colorScheme = value;
});

/** `yes`: lists change only when they are told to. */
export const paused = kept<'no' | 'yes'>('paused', ['no', 'yes'], () => {});

/** The first of the values unless another one was chosen before. */
function kept<T extends string>(name: string, values: [T, ...T[]], apply: (value: T) => void): Store<T> {
  const key = `likeperson:${name}`;
  const found = values.find((value) => value === remembered(key));
  const preference = store<T>(found ?? values[0]);
  apply(preference.get());
  preference.subscribe(() => {
    apply(preference.get());
    try {
      localStorage.setItem(key, preference.get());
    } catch {
      // A browser that keeps nothing: the choice then lasts as long as the page.
    }
  });
  return preference;
}

function remembered(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
