/** Texts of senders, in which nothing is hidden and nothing turns the text around it. */

// Control characters but line breaks and tabs, bidirectional overrides, zero-width characters, halves of characters.
const HIDDEN = /[^\P{C}\t\n\r]|[\p{Zl}\p{Zp}]/gu;

/** Returns the text with each invisible character written by its number, such as ⟨U+202E⟩. */
export function plain(text: string): string {
  return text.replace(HIDDEN, (found) => {
    const number = found.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
    return `⟨U+${number}⟩`;
  });
}

// What is sent back to the service; pages show it by `plain`.
const SENT_BACK = new Set(['code', 'eventType']);

/** Returns the data of an answer with all its texts plain. */
export function plainData<T>(data: T, name?: string): T {
  if (typeof data === 'string') return (name !== undefined && SENT_BACK.has(name) ? data : plain(data)) as T;
  if (Array.isArray(data)) return data.map((each: unknown) => plainData(each, name)) as T;
  if (data === null || typeof data !== 'object') return data;
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, plainData(value, key)])) as T;
}

/** Returns the address of an e-mail to somebody; what follows the name in it cannot add recipients. */
export function mailto(email: string): string {
  return `mailto:${encodeURIComponent(email).replaceAll('%40', '@')}`;
}

export function tel(phone: string): string {
  return `tel:${phone.replace(/[^+\d]/g, '')}`;
}
