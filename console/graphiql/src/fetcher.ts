import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';
import { createClient } from 'graphql-ws';

const url = '/graphql';

/**
 * Sends queries over HTTP and subscriptions over graphql-transport-ws, both with the headers pane's Authorization.
 *
 * Every subscription gets a client of its own, hence a socket of its own: a socket belongs to the viewer it was opened
 * for, and the pane may name another one by the next run.
 */
export const fetcher: Fetcher = (parameters, options) =>
  createGraphiQLFetcher({
    url,
    // A browser cannot set headers on a WebSocket, so the token goes into connection_init.
    wsClient: createClient({
      url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${url}`,
      connectionParams: authorizationOf(options?.headers),
      // Here one wants to see that, and why, the server closed the socket.
      retryAttempts: 0,
    }),
    // Neither @defer nor @stream is served; without them the Accept header asks for GraphQL-over-HTTP responses.
    enableIncrementalDelivery: false,
  })(parameters, options);

function authorizationOf(headers: Record<string, unknown> = {}): { authorization?: string } {
  const found = Object.entries(headers).find(([name]) => name.toLowerCase() === 'authorization');
  return found ? { authorization: String(found[1]) } : {};
}
