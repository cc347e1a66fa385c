import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { debian, freePort, startServer } from '../lib/servers.mjs';

/** As nginx's manual has it with `auto`, which would not tell how many to wait for. */
const workers = os.availableParallelism();

/**
 * Messages in shared memory, published and subscribed over WebSocket. Publishing by POST over one pipelined connection
 * came out the same.
 * @type {import('../lib/peer.mjs').Peer}
 */
export const peer = {
  name: 'nchan',
  title: 'Nchan in nginx',
  place: 7,
  durable: false,
  ordered: true,
  installed: true,
  dialects: { any: 'nchan' },
  async start(directory) {
    const port = await freePort();
    const file = path.join(directory, 'nginx.conf');
    fs.writeFileSync(file, configuration(directory, port));
    const root = process.getuid?.() === 0;
    return startServer(port, 'unshare', [...(root ? [] : ['--map-root-user']), '--mount', 'sh', '-c', inPrivate,
      path.join(debian, 'usr/sbin/nginx'), '-c', file, '-p', directory], workers);
  },
};

/**
 * The module makes a folder in `/var/lib/nginx`, whatever its settings say. It gets a `/var/lib` of its own to make it
 * in, which no other process sees.
 */
const inPrivate = 'mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/nginx && exec "$0" "$@"';

/** @param {string} directory @param {number} port */
function configuration(directory, port) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path "${directory}/${what}";`);
  return `
    load_module "${debian}/usr/lib/nginx/modules/ngx_nchan_module.so";
    daemon off;
    # Its namespace calls whoever started it root; its workers stay that.
    user root;
    worker_processes ${workers};
    pid "${directory}/nginx.pid";
    error_log stderr error;
    events { worker_connections 15000; }
    http {
      access_log off;
      ${temporary.join(' ')}
      nchan_shared_memory_size 256M;
      # Its manual: without a buffer, messages published quickly may be missed.
      nchan_message_buffer_length 1000;
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location = /pub { nchan_publisher websocket; nchan_channel_id $arg_id; }
        location = /sub { nchan_subscriber websocket; nchan_channel_id $arg_id; }
      }
    }
  `;
}
