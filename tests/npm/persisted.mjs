// Asks twice with a client that sends hashes instead of texts: `node persisted.mjs ORDER`, with the
// order in JSON. Prints both answers, and of each request whether it held the text.
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { createHash } from "node:crypto";

const { kind, byGet, url, token, query } = JSON.parse(process.argv[2]);

const headers = { authorization: `Bearer ${token}` };
const sent = [];
const watched = async (input, options) => {
  const { searchParams } = new URL(String(input));
  const { query } = options.body ? JSON.parse(options.body) : Object.fromEntries(searchParams);
  sent.push({ method: options.method, text: Boolean(query) });
  return fetch(input, options);
};

const kinds = {
  apollo: () => {
    const hashes = new PersistedQueryLink({
      sha256: (text) => createHash("sha256").update(text).digest("hex"),
      useGETForHashedQueries: byGet,
    });
    const client = new ApolloClient({
      cache: new InMemoryCache(),
      link: ApolloLink.from([hashes, new HttpLink({ uri: url, headers, fetch: watched })]),
    });
    return () => client.query({ query: gql(query), fetchPolicy: "no-cache" });
  },
  urql: () => {
    const client = new Client({
      url,
      fetch: watched,
      fetchOptions: { headers },
      preferGetMethod: false,
      exchanges: [persistedExchange({ preferGetForPersistedQueries: byGet }), fetchExchange],
    });
    return () => client.query(query, {}, { requestPolicy: "network-only" }).toPromise();
  },
};

const ask = kinds[kind]();
const answers = [];
for (let time = 0; time < 2; time += 1) {
  const { data, error } = await ask();
  answers.push({ data, error: error?.message });
}
process.stdout.write(JSON.stringify({ answers, sent }));
