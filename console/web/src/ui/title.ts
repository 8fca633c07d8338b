import { useEffect } from 'react';

import { useMessages } from '../messages';

/** The page's name in the browser's tab and history. */
export function useTitle(title: string): void {
  const { product } = useMessages();
  useEffect(() => {
    document.title = `${title} – ${product}`;
  }, [title, product]);
}
