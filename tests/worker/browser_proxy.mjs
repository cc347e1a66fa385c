/** What lies between a browser and the server, and lets no WebSocket through. */
import { once } from 'node:events';
import http from 'node:http';

/** @param {import('node:stream').Duplex} socket */
export const refuse = (socket) => void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');

/**
 * A proxy that lets everything through but WebSockets. Gives its URL.
 * @param {import('node:test').TestContext} t
 * @param {{ port: number }} runtime
 * @param {(socket: import('node:stream').Duplex) => void} onUpgrade
 */
export async function proxy(t, runtime, onUpgrade) {
  const server = http.createServer((request, response) => {
    const { method, url, headers } = request;
    const forwarded = http.request({ host: '127.0.0.1', port: runtime.port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    request.pipe(forwarded);
  });
  /** @type {Set<import('node:stream').Duplex>} */
  const upgrades = new Set();
  server.on('upgrade', (_request, socket) => {
    upgrades.add(socket.on('error', () => {}));
    onUpgrade(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    upgrades.forEach((socket) => socket.destroy());
    server.closeAllConnections();
    server.close();
  });
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}`;
}
