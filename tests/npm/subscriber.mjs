// Subscribes with a client as apps use it: `node subscriber.mjs ORDER`, with the order in JSON.
// Prints each result on a line of its own, and goes on after the last cursor when it is cut off.
import { createClient as overEvents } from "graphql-sse";
import { createClient as overSocket } from "graphql-ws";
import WebSocket from "ws";

const { protocol, url, token, query, variables = {}, reconnect = false } = JSON.parse(process.argv[2]);

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const authorization = `Bearer ${token}`;

const client =
  protocol === "graphql-ws"
    ? overSocket({
        url: url.replace(/^http/, "ws"),
        webSocketImpl: WebSocket,
        connectionParams: { authorization },
        retryAttempts: 0,
        on: { connected: () => say({ connected: true }) },
      })
    : overEvents({ url, headers: { authorization }, retryAttempts: 0 });

const cursorIn = (result) => Object.values(result.data ?? {})[0]?.cursor;

let after = variables.after;
for (;;) {
  try {
    for await (const result of client.iterate({ query, variables: { ...variables, after } })) {
      after = cursorIn(result) ?? after;
      say({ result });
    }
    say({ completed: true });
    break;
  } catch (error) {
    const errors = Array.isArray(error) ? error : undefined;
    if (!reconnect || errors || error?.code === 4403) {
      say({ failed: { errors, code: error?.code, message: error?.message } });
      break;
    }
    say({ cut: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
client.dispose();
