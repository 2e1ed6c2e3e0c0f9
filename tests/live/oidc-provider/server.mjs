// A certified OpenID provider as a foreign issuer: JWT access tokens, proofs of possession, and
// keys that are replaced in flight (POST /sim/rotate, with ?retire=1 the old ones go at once).
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const RESOURCE = 'https://suture.example';

function newKeys() {
  return [
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ].map(([alg, pair]) => ({
    ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-${randomUUID()}`,
  }));
}

function client(id, groups) {
  return {
    client_id: id, client_secret: 'a-secret-of-the-test', redirect_uris: [], response_types: [],
    grant_types: ['client_credentials'], groups,
  };
}

function provider(issuer, keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [client('buyer', ['buyers']), client('guest', ['guests'])],
    extraClientMetadata: { properties: ['groups'] },
    extraTokenClaims: (_ctx, token) => ({ groups: token.client?.groups ?? [] }),
    features: {
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        getResourceServerInfo: () => ({
          scope: 'any', audience: RESOURCE, accessTokenTTL: 600, accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
}

let keys = newKeys();
let answer;
const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url.startsWith('/sim/rotate')) {
    keys = [...newKeys(), ...(request.url.includes('retire') ? [] : keys)];
    answer = provider(`http://127.0.0.1:${server.address().port}`, keys).callback();
    response.end('{}');
    return;
  }
  answer(request, response);
});
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  answer = provider(issuer, keys).callback();
  console.log(`ready on ${issuer}`);
});
