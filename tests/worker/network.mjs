/** What lies between a client and the server, and fails: a tunnel, a dead spot, a phone put to sleep. */
import { once } from 'node:events';
import net from 'node:net';

export class Network {
  /** @type {Set<{ client: net.Socket, server: net.Socket }>} */
  #links = new Set();
  #open = true;
  #carries = { up: true, down: true };
  #listener = net.createServer((client) => this.#connect(client));
  #port;

  /** @param {number} port of the server */
  constructor(port) {
    this.#port = port;
  }

  /**
   * A network of its own for one client of the runtime.
   * @param {Pick<import('node:test').TestContext, 'after'>} scope
   * @param {{ port: number }} runtime
   */
  static async to(scope, runtime) {
    const network = new Network(runtime.port);
    network.#listener.listen(0, '127.0.0.1');
    await once(network.#listener, 'listening');
    scope.after(() => network.#end());
    return network;
  }

  get clientOptions() {
    const { port } = /** @type {net.AddressInfo} */ (this.#listener.address());
    return { endpoint: '127.0.0.1', port, tls: false };
  }

  /** Both ends see their connections die, and no new ones are let through. */
  cut() {
    this.#open = false;
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
  }

  /** The client sees its connections die and gets no new ones; the server sees nothing. */
  vanish() {
    this.#open = false;
    for (const { client } of this.#links) client.destroy();
  }

  /**
   * Nobody sees anything, but what is sent on present connections in this direction is lost.
   * @param {'up' | 'down'} way
   */
  lose(way) {
    this.#carries[way] = false;
  }

  /** All is well again, for new connections. */
  mend() {
    this.#open = true;
    this.#carries = { up: true, down: true };
  }

  /** @param {net.Socket} client */
  #connect(client) {
    if (!this.#open) return client.destroy();
    const server = net.connect(this.#port, '127.0.0.1');
    const link = { client, server };
    // Of its own, so that mending does not bring back what a broken connection has lost.
    const carries = this.#carries;
    this.#links.add(link);
    client.on('data', (bytes) => carries.up && server.write(bytes));
    server.on('data', (bytes) => carries.down && !client.destroyed && client.write(bytes));
    client.on('end', () => server.end()).on('error', () => {});
    server.on('end', () => client.end()).on('error', () => {});
    server.on('close', () => {
      this.#links.delete(link);
      client.destroy();
    });
  }

  #end() {
    this.cut();
    this.#listener.close();
  }
}
