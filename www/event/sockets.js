/**
 * A classic script, loaded before the SDK: the page's own hold on its WebSockets, so that it can cut them and keep new
 * ones from opening, as a bad network would. The SDK knows nothing of it.
 */
(() => {
  const Native = window.WebSocket;
  /** @type {Set<WebSocket>} */
  const open = new Set();
  const sockets = {
    blocked: false,
    /** Cuts all that are open. */
    drop() {
      for (const socket of open) socket.close();
    },
  };

  class Held extends Native {
    /** @param {string | URL} url @param {string | string[]} [protocols] */
    constructor(url, protocols) {
      super(sockets.blocked ? nowhere(url) : url, protocols);
      open.add(this);
      this.addEventListener('close', () => open.delete(this));
    }
  }

  /** Port 9 of this machine, which browsers never connect to. @param {string | URL} url */
  function nowhere(url) {
    const { protocol } = new URL(url);
    return `${protocol}//127.0.0.1:9/`;
  }

  window.WebSocket = Held;
  Object.assign(window, { courtsideSockets: sockets });
})();
