/** The one socket to the service, and what is known of it. It is opened again for ever, as long as one is signed in. */
import { createClient, type Client, type CloseCode, type SubscribePayload } from 'graphql-ws';
import type { FormattedExecutionResult } from 'graphql';

import { store, type Store } from '../store';

export type Link = { state: 'connecting' } | { state: 'live' } | { state: 'lost'; retryAt: number };

const FORBIDDEN: CloseCode.Forbidden = 4403;
const PING_MS = 10_000;
const PONG_MS = 5_000;
const LONGEST_WAIT_MS = 10_000;

export interface Connection {
  link: Store<Link>;
  subscribe(payload: SubscribePayload, sink: Sink): () => void;
  /** Looks at once whether the service is there again. */
  retryNow(): void;
  close(): void;
}

export interface Sink {
  next(result: FormattedExecutionResult<Record<string, unknown>>): void;
  error(error: unknown): void;
  complete(): void;
}

/** `onForbidden`: the service closed the line. Whether this viewer is still served, HTTP tells with the token of now. */
export function openConnection(token: () => string, onForbidden: () => void): Connection {
  const link = store<Link>({ state: 'connecting' });
  let wake = (): void => {};
  let pong: ReturnType<typeof setTimeout> | undefined;

  const client: Client = createClient({
    url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/graphql`,
    connectionParams: () => ({ authorization: `Bearer ${token()}` }),
    lazyCloseTimeout: 3_000,
    keepAlive: PING_MS,
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: async (attempt) => {
      // Together with others who lost the same service, so not all at the same moment.
      const wait = Math.min(500 * 2 ** attempt, LONGEST_WAIT_MS) * (0.75 + Math.random() / 2);
      link.set({ state: 'lost', retryAt: Date.now() + wait });
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      link.set({ state: 'connecting' });
    },
    on: {
      connected: () => link.set({ state: 'live' }),
      closed: (event) => {
        clearTimeout(pong);
        link.set({ state: 'lost', retryAt: Date.now() });
        if (event instanceof CloseEvent && event.code === FORBIDDEN) onForbidden();
      },
      // A line that was cut without a word is noticed by the answer that does not come.
      ping: (received) => {
        if (!received) pong = setTimeout(() => client.terminate(), PONG_MS);
      },
      pong: (received) => {
        if (received) clearTimeout(pong);
      },
    },
  });

  const retryNow = (): void => wake();
  addEventListener('online', retryNow);

  return {
    link,
    retryNow,
    subscribe(request, sink) {
      // After an interruption graphql-ws sends this same object again. Its variables are kept at the last cursor
      // received, so that the new stream goes on exactly where the old one broke off.
      const variables: Record<string, unknown> = { ...request.variables };
      return client.subscribe<Record<string, unknown>, Record<string, unknown>>(
        { ...request, variables },
        {
          ...sink,
          next(result) {
            const cursor = cursorIn(result.data);
            if (cursor && 'after' in variables) variables.after = cursor;
            sink.next(result);
          },
        },
      );
    },
    close() {
      removeEventListener('online', retryNow);
      void client.dispose();
    },
  };
}

function cursorIn(data: Record<string, unknown> | null | undefined): string | undefined {
  for (const message of Object.values(data ?? {})) {
    if (message !== null && typeof message === 'object' && 'cursor' in message) return String(message.cursor);
  }
  return undefined;
}
