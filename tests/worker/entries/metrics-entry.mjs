// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/** The built worker with a dataset of Analytics Engine that prints what is written: a real one shows it to nobody. */
import Built, { App as BuiltApp } from './index.js';

export * from './index.js';

const METRICS = {
  writeDataPoint(point) {
    console.log(`point ${JSON.stringify(point)}`);
  },
};

export class App extends BuiltApp {
  constructor(state, env) {
    super(state, { ...env, METRICS });
  }
}

export default Built;
