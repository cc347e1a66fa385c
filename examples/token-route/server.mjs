/** A server of your own that knows who its users are: it signs token requests, and the key never leaves it. */
import http from 'node:http';
import Ably from 'ably';

const { ABLY_KEY = 'demo.key1:local-only', ENDPOINT = '127.0.0.1', ENDPOINT_PORT = '8787',
  PORT = '3000' } = process.env;
const ably = new Ably.Rest({ key: ABLY_KEY, endpoint: ENDPOINT, port: Number(ENDPOINT_PORT),
  tls: ENDPOINT !== '127.0.0.1' });

/** Your session, cookie or single sign-on says who asks. Here it is a header. */
const userOf = (request) => request.headers['x-user'];

/** Your page comes from another origin: name it here, where a cookie says who asks. */
const shared = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'x-user' };

const server = http.createServer(async (request, response) => {
  if (request.method === 'OPTIONS') return response.writeHead(204, shared).end();
  // The SDK adds a query.
  const { pathname } = new URL(request.url, 'http://server');
  const user = userOf(request);
  if (pathname !== '/token' || !user) return response.writeHead(user ? 404 : 401, shared).end();
  const capability = { 'chat:*': ['subscribe', 'publish', 'history'], scores: ['subscribe'] };
  const tokenRequest = await ably.auth.createTokenRequest({ clientId: user, capability, ttl: 60 * 60 * 1_000 });
  response.writeHead(200, { ...shared, 'content-type': 'application/json' }).end(JSON.stringify(tokenRequest));
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/token`));
