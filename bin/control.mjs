/** What the supervisor says to the worker, over a socket that only its user can open. */
import http from 'node:http';
import { CONTROL_MS, LOOK_MS } from './limits.mjs';

/** A refusal of the worker, in its words: another try will be refused, too. */
export class Refused extends Error {}

export class Control {
  /** @param {string} socketPath */
  constructor(socketPath) {
    this.socketPath = socketPath;
  }

  /** Fails with what the worker cannot read in its apps. */
  async checkApps() {
    await this.#ask('GET', '/apps');
  }

  /**
   * Gives the worker other apps, and says how many objects were told. Fails with {@link Refused} for what it cannot
   * read in them, and then keeps those it has.
   * @param {string} apps
   * @param {() => void} taken is called once it has them: from then on they are those of all who come, though it takes
   *   a while to tell all objects
   */
  async setApps(apps, taken) {
    return Number(await this.#ask('PUT', '/apps', apps, CONTROL_MS, taken));
  }

  /**
   * How many connections it has counted. Not waited for beyond the next look, nor is what follows: the memory is looked
   * at, too.
   */
  async connections() {
    return Number(await this.#ask('GET', '/room', undefined, LOOK_MS));
  }

  /**
   * Lets no more than so many connections in until it is told again.
   * @param {{ room: number | null, spare: number, after?: number }} bound `room`: for how many there is beyond those
   *   that it had counted with `after`, and `spare`: for how many more who resume
   */
  async setRoom(bound) {
    await this.#ask('PUT', '/room', JSON.stringify(bound), LOOK_MS);
  }

  /**
   * Lets no connection in any more, and sends one in so many of those that are there away. Says how many objects were
   * told.
   * @param {number} oneIn
   * @param {number} timeout in milliseconds
   */
  async leave(oneIn, timeout) {
    return Number(await this.#ask('POST', '/leave', String(oneIn), timeout));
  }

  /**
   * Sends all connections away, and then has objects report what they counted. Says how many objects were told to.
   * @param {() => Promise<void>} before is waited for before that: the runtime has this request already, and need take
   *   no other
   */
  async handOn(before) {
    return Number(await this.#ask('POST', '/hand-on', null, CONTROL_MS, before));
  }

  /** Has objects report what they counted since they last did. Resolves once it is stored. @param {number} timeout */
  async report(timeout) {
    await this.#ask('POST', '/report', undefined, timeout);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | null} [body] `null`: none, and the request ends after `answered`
   * @param {number} [timeout] until it begins to answer
   * @param {() => void | Promise<void>} [answered] is called when it begins to
   * @returns {Promise<string>}
   */
  #ask(method, path, body, timeout = CONTROL_MS, answered = () => {}) {
    return new Promise((resolve, reject) => {
      const { socketPath } = this;
      const options = { socketPath, method, path, timeout, headers: { host: 'courtside' } };
      const request = http.request(options, (response) => {
        let text = '';
        const met = response.statusCode === 200 ? answered() : undefined;
        if (body === null) void Promise.resolve(met).then(() => request.end());
        request.setTimeout(0);
        response.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('error', reject).on('end', () => {
          if (response.statusCode === 200) resolve(text);
          else reject(new Refused(text.trim()));
        });
      });
      request.on('timeout', () => request.destroy(new Error('the runtime does not answer')));
      request.on('error', reject);
      if (body === null) request.flushHeaders();
      else request.end(body);
    });
  }
}
