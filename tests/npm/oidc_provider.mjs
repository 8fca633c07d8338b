// A real OpenID Connect provider for one test: `node oidc_provider.mjs CONFIG`, where CONFIG is
// JSON: {port, keys, algorithm, audience, clients, lifetime, portalIds}. Anybody may sign in, as
// whoever they say they are; `portalIds` holds the claim `portal_id` by account. Says its port on standard output, and runs until it is killed.

import { createServer } from "node:http";

import Provider from "oidc-provider";

const config = JSON.parse(process.argv[2]);

const server = createServer();
server.listen(config.port, "127.0.0.1", () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: config.clients,
    clientDefaults: { id_token_signed_response_alg: config.algorithm },
    jwks: { keys: config.keys },
    scopes: ["openid", "sync:operate"],
    ttl: { AccessToken: config.lifetime, ClientCredentials: config.lifetime },
    clientBasedCORS: () => true,
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => config.audience,
        getResourceServerInfo: () => ({
          audience: config.audience,
          scope: "openid sync:operate",
          accessTokenFormat: "jwt",
          accessTokenTTL: config.lifetime,
          jwt: { sign: { alg: config.algorithm } },
        }),
        useGrantedResource: () => true,
      },
    },
    extraTokenClaims: (_context, token) => {
      const id = config.portalIds?.[token.accountId];
      return id ? { portal_id: id } : undefined;
    },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  server.on("request", provider.callback());
  console.log(port);
});
