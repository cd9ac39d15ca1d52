// A certified OpenID provider, for tests. Its settings are the first line of its input: { port, clients, jwks, audience }.
// Says "ready" when it listens; ends with its input. Anybody may sign in, by any name.
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => start(JSON.parse(line)));
lines.once('close', () => process.exit());

function start({ port, clients, jwks, audience }) {
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients,
    jwks,
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true }),
    }),
    // its own way out refuses the addresses of this machine, where our pages are
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    clientAuthMethods: ['private_key_jwt', 'client_secret_basic'],
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_, client) => (client.grantTypeAllowed('client_credentials') ? audience : undefined),
        getResourceServerInfo: () => ({
          audience,
          scope: 'changes:read changes:write',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  provider.on('server_error', (_, error) => console.error(error));
  provider.on('backchannel.error', (_, error) => console.error(error));
  provider.listen(port, '127.0.0.1', () => console.log('ready'));
}
