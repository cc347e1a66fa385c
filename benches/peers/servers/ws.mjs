/** `node ws.mjs PORT`: the broadcast of ws's own README, to those who came as subscribers. */
import { createRequire } from 'node:module';

const installed = createRequire(new URL('../../../target/peers/', import.meta.url));
const { WebSocketServer } = installed('ws');

const subscribers = new Set();
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false, clientTracking: false });
server.on('connection', (/** @type {any} */ socket, /** @type {any} */ request) => {
  if (request.url === '/?role=subscriber') {
    subscribers.add(socket);
    socket.on('close', () => subscribers.delete(socket));
  } else {
    socket.on('message', (/** @type {Buffer} */ data, /** @type {boolean} */ binary) => {
      for (const subscriber of subscribers) subscriber.send(data, { binary });
    });
  }
});
