// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, whose relay objects can be made to trap as a panic does: by the text frame `PANIC`,
 * which reaches the wasm code with a broken pointer, or `PANIC LATER`, which does so in what goes on after an await.
 */
import { Relay as BuiltRelay } from './index.js';

export * from './index.js';
export { default } from './index.js';

const BROKEN = 0xfffffff0;

export class Relay extends BuiltRelay {
  webSocketMessage(socket, message) {
    const inner = this.inner();
    if (message === 'PANIC') inner.__wbg_ptr = BROKEN;
    if (message !== 'PANIC LATER') return super.webSocketMessage(socket, message);
    void Promise.resolve().then(() => {
      const whole = inner.__wbg_ptr;
      inner.__wbg_ptr = BROKEN;
      try {
        inner.webSocketMessage(socket, message);
      } finally {
        inner.__wbg_ptr = whole;
      }
    });
  }
}
