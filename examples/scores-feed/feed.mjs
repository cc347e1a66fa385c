/** Publishes the rows of a CSV file in order, and each once when it is started again within two minutes. */
import fs from 'node:fs';
import Ably from 'ably';

const { ABLY_KEY = 'demo.key1:local-only', ENDPOINT = '127.0.0.1', ENDPOINT_PORT = '8787' } = process.env;
const [file = new URL('scores.csv', import.meta.url), channelName = 'persisted:scores'] = process.argv.slice(2);

const [head = '', ...lines] = fs.readFileSync(file, 'utf8').trim().split(/\r?\n/u);
const columns = head.split(',');
const rows = lines.map((line) => Object.fromEntries(line.split(',').map((value, index) => [columns[index], value])));

const ably = new Ably.Rest({ key: ABLY_KEY, endpoint: ENDPOINT, port: Number(ENDPOINT_PORT),
  tls: ENDPOINT !== '127.0.0.1' });
const channel = ably.channels.get(channelName);
for (const row of rows) {
  // The id comes of the row: the relay knows one that it has, and delivers it once.
  const message = { id: `${row.match}-${row.minute}`, name: 'score', data: row,
    extras: { headers: { match: row.match } } };
  await channel.publish(message);
  console.log(`${row.match} ${row.minute}' ${row.home}–${row.away}`);
}
