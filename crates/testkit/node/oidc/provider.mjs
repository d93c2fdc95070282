// An identity provider on the loopback interface, for tests: oidc-provider, in whose login page somebody always clicks at once.
//
// Arguments: redirect address, client id, client secret. Prints its port. Reads one command a line and answers `ok`:
//   {"as": "ann"}            who clicks from now on; null refuses
//   {"people": {"ann": {}}}  what is known of people: claims by subject
//   {"rotate": true}         signs with another key from now on, and forgets everything else
// Ends with its standard input.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [redirect, clientId, clientSecret] = process.argv.slice(2);
// Answers alone go to standard output; the library's remarks do not.
const say = (text) => process.stdout.write(`${text}\n`);
console.info = console.error;
let as = null;
let people = {};
let provider;

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function begin(issuer) {
  provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirect],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    pkce: { required: () => true },
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: {
      openid: ['sub'],
      profile: ['preferred_username', 'name'],
      email: ['email'],
      groups: ['groups'],
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ ...people[sub], sub }) }),
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/click/${interaction.uid}` },
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomUUID()] },
  });
}

async function click(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  let result;
  if (as === null) {
    result = { error: 'access_denied', error_description: 'nobody clicks' };
  } else if (prompt.name === 'login') {
    result = { login: { accountId: as } };
  } else {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    const { missingOIDCScope, missingOIDCClaims } = prompt.details;
    if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
    if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const server = createServer((request, response) => {
  if (!request.url.startsWith('/click/')) {
    provider.callback()(request, response);
    return;
  }
  click(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
});

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  begin(issuer);
  say(server.address().port);
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const command = JSON.parse(line);
    if ('as' in command) as = command.as;
    if ('people' in command) people = command.people;
    if ('rotate' in command) begin(issuer);
    say('ok');
  });
  lines.on('close', () => process.exit(0));
});
