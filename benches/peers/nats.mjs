import fs from 'node:fs';
import path from 'node:path';
import { debian, freePort, startServer } from '../lib/servers.mjs';

/**
 * NATS itself, without JetStream. It keeps each publisher's order, and promises none between publishers.
 * @type {import('../lib/peer.mjs').Peer}
 */
export const peer = {
  name: 'nats',
  title: 'NATS over WebSocket',
  place: 8,
  durable: false,
  ordered: false,
  installed: true,
  dialects: { any: 'nats' },
  async start(directory) {
    const port = await freePort();
    const file = path.join(directory, 'nats.conf');
    fs.writeFileSync(file, `
      host: 127.0.0.1
      port: -1
      websocket { host: 127.0.0.1, port: ${port}, no_tls: true, compression: false }
    `);
    return startServer(port, path.join(debian, 'usr/sbin/nats-server'), ['--config', file]);
  },
};
