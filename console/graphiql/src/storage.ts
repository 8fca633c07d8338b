/**
 * The browser's storage for GraphiQL's tabs and history, without the headers.
 *
 * GraphiQL's own switch keeps headers out of the stored tabs, but its history plugin stores each query together with
 * the headers it was sent with, and so would write every token to disk.
 */
export const storageWithoutHeaders = {
  get length(): number {
    return ownKeys().length;
  },
  getItem: (key: string): string | null => localStorage.getItem(key),
  setItem: (key: string, value: string): void => localStorage.setItem(key, withoutHeaders(value)),
  removeItem: (key: string): void => localStorage.removeItem(key),
  clear: (): void => ownKeys().forEach((key) => localStorage.removeItem(key)),
};

function ownKeys(): string[] {
  return Object.keys(localStorage).filter((key) => key.startsWith('graphiql:'));
}

function withoutHeaders(value: string): string {
  try {
    return JSON.stringify(JSON.parse(value, (key, part: unknown) => (key === 'headers' ? undefined : part)));
  } catch {
    return value; // The query being edited and the theme are stored as plain text.
  }
}
