// A dashboard's data: one page of members, and every change of them from then on, whatever happens
// to the connection. `npm start -- http://127.0.0.1:8000/graphql TOKEN`
import { Client, fetchExchange, gql, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import { WebSocket as NodeSocket } from 'ws';

const [url, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;

const socket = createClient({
  url: url.replace('http', 'ws'),
  // A function, so that each new connection gets the token of that moment.
  connectionParams: () => ({ authorization }),
  // Browsers have one of their own, and so has Node.js from version 22 on.
  webSocketImpl: globalThis.WebSocket ?? NodeSocket,
  retryAttempts: Infinity,
  shouldRetry: () => true,
});

const client = new Client({
  url,
  preferGetMethod: false,
  fetchOptions: () => ({ headers: { authorization, 'graphql-client-name': 'dashboard' } }),
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe(sink) {
          const payload = { query: request.query ?? '', variables: { ...request.variables } };
          const unsubscribe = socket.subscribe<Record<string, unknown>, Record<string, unknown>>(payload, {
            ...sink,
            next(result) {
              const [message] = Object.values(result.data ?? {}) as { cursor?: string }[];
              // What is sent again after a reconnect is this same object: it goes on from here.
              if (message?.cursor) payload.variables.after = message.cursor;
              sink.next(result);
            },
          });
          return { unsubscribe };
        },
      }),
    }),
  ],
});

const PAGE = gql`
  query Page {
    members(first: 50) {
      changeCursor
      edges { node { id displayName state } }
    }
  }
`;

const CHANGES = gql`
  subscription Changes($after: ChangeCursor) {
    memberChanges(after: $after) {
      __typename
      ... on MemberChange { cursor operation memberId member { id displayName state } }
      ... on StreamHeartbeat { cursor }
      ... on ResyncRequired { cursor reason }
    }
  }
`;

type Person = { id: string; displayName: string; state: string };
const people = new Map<string, Person>();

async function follow(): Promise<void> {
  const { data, error } = await client.query(PAGE, {}, { requestPolicy: 'network-only' });
  if (error) throw error;
  people.clear();
  for (const { node } of data.members.edges) people.set(node.id, node);
  console.log(JSON.stringify({ page: [...people.values()].map((person) => person.displayName) }));

  const changes = client.subscription(CHANGES, { after: data.members.changeCursor });
  const { unsubscribe } = changes.subscribe(({ data, error }) => {
    if (error) throw error;
    const message = data.memberChanges;
    if (message.__typename === 'ResyncRequired') {
      // It cannot go on from where it was: begin with a page again.
      unsubscribe();
      void follow();
    } else if (message.__typename === 'MemberChange') {
      if (message.member) people.set(message.memberId, message.member);
      else people.delete(message.memberId);
      console.log(JSON.stringify({ [message.operation]: message.member?.displayName ?? null }));
    } else {
      console.log(JSON.stringify({ alive: true }));
    }
  });
}

await follow();
