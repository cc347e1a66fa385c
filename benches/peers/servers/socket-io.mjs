/** `node socket-io.mjs PORT`: one room, with the settings that Socket.IO's page on performance names. */
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const installed = createRequire(new URL('../../../target/peers/', import.meta.url));
const { Server } = installed('socket.io');

const server = createServer();
// `bufferutil` is installed beside it, so masks are taken off in native code. Compression is off by default.
const io = new Server(server, { transports: ['websocket'], serveClient: false });
io.engine.on('connection', (/** @type {any} */ socket) => { socket.request = null; });
io.on('connection', (/** @type {any} */ socket) => {
  if (socket.handshake.auth.role === 'subscriber') socket.join('bench');
  else socket.on('score', (/** @type {string} */ data) => io.to('bench').emit('score', data));
});
server.listen(Number(process.argv[2]), '127.0.0.1');
