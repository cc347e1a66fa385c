/** A chat with `ably/react`: hooks for messages and for presence. */
import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import * as Ably from 'ably';
import { AblyProvider, ChannelProvider, useChannel, usePresence, usePresenceListener } from 'ably/react';

const room = 'chat:lobby';

function Chat() {
  const [messages, setMessages] = useState([]);
  const { publish } = useChannel(room, (message) => setMessages((all) => [...all.slice(-99), message]));
  usePresence(room);
  const { presenceData } = usePresenceListener(room);
  const send = (event) => {
    event.preventDefault();
    void publish('message', new FormData(event.target).get('text'));
    event.target.reset();
  };
  return (
    <main>
      <p>{presenceData.length} here</p>
      <ol>{messages.map(({ id, clientId, data }) => <li key={id}><b>{clientId}</b> {data}</li>)}</ol>
      <form onSubmit={send}><input name="text" aria-label="Message" required /><button>Send</button></form>
    </main>
  );
}

/** Where the relay is comes with the address, such as `?port=8787&name=ann#demo.key1:local-only`. */
const query = new URLSearchParams(location.search);
const client = new Ably.Realtime({
  key: decodeURIComponent(location.hash.slice(1)), clientId: query.get('name') ?? 'ann', endpoint: '127.0.0.1',
  port: Number(query.get('port') ?? 8787), tls: false,
});
createRoot(document.getElementById('root')).render(
  <AblyProvider client={client}><ChannelProvider channelName={room}><Chat /></ChannelProvider></AblyProvider>,
);
