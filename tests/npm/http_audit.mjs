// Runs the audits of the package graphql-http against the URL given, and prints those that are not
// fulfilled as JSON, each with its name and reason.
import { serverAudits } from 'graphql-http';

const url = process.argv[2];
const results = [];
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const { id, name, status, reason } = await audit.fn();
  results.push({ id, name, status, reason });
}
console.log(
  JSON.stringify({
    audits: results.length,
    unfulfilled: results.filter((result) => result.status !== 'ok'),
  }),
);
