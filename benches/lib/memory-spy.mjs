// @ts-nocheck: it runs in the Workers runtime, before the built worker makes its instance.
globalThis.wasmMemories = [];
WebAssembly.Instance = class extends WebAssembly.Instance {
  constructor(module, imports) {
    super(module, imports);
    globalThis.wasmMemories.push(this.exports.memory);
  }
};
