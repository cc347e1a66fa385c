// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, whose relay objects can be made to trap as a panic does: by the text frame `PANIC`,
 * which reaches the wasm code with a broken pointer.
 */
import { Relay as BuiltRelay } from './index.js';

export * from './index.js';
export { default } from './index.js';

export class Relay extends BuiltRelay {
  webSocketMessage(socket, message) {
    if (message === 'PANIC') this.inner().__wbg_ptr = 0xfffffff0;
    return super.webSocketMessage(socket, message);
  }
}
