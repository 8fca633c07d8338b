import { language, type Language } from '../preferences';
import { useStore } from '../store';
import { en } from './en';
import { nb, type Messages } from './nb';

export type { Messages };

const languages: Record<Language, Messages> = { nb, en };

/** The texts in the language of the moment. */
export function useMessages(): Messages {
  return languages[useStore(language)];
}
