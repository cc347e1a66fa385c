/**
 * What `npm start` says when the server is up. The command stands at the margin, to be pasted into a shell as it is: an
 * indented `EOF` would not end it.
 * @param {number | string} port
 * @param {boolean} sandbox
 */
export const greeting = (port, sandbox) => `
  Courtside is up: http://127.0.0.1:${port}   (Ctrl-C ends it)
  Its event:       http://127.0.0.1:${port}/ for attendees, and for the host
                   http://127.0.0.1:${port}/stage#key=demo.host:local-only
  The demo key:    demo.key1:local-only${sandbox ? `
  The sandbox:     POST http://127.0.0.1:${port}/apps makes an app` : ''}

  Paste this into another terminal, in this folder:

node --input-type=module <<'EOF'
import Ably from 'ably';
const ably = new Ably.Realtime({ key: 'demo.key1:local-only', endpoint: 'localhost', port: ${port}, tls: false });
const channel = ably.channels.get('tennis-score-updates');
await channel.subscribe('score', (message) => console.log(message.data));
await channel.publish('score', 'Game Point!');
EOF
`;
