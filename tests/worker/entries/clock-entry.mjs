// @ts-nocheck: it runs in the Workers runtime, in front of the built worker.
/**
 * The built worker, unchanged, by a clock that is ahead by so many milliseconds as the deployment's AHEAD_MS says. Its
 * alarms ring by that clock, too.
 */
import { env } from 'cloudflare:workers';
import { App, Channel as BuiltChannel, Relay } from './index.js';

export { default } from './index.js';
export { App, Relay };

const ahead = Number(env.AHEAD_MS);
const now = Date.now;
Date.now = () => now() + ahead;

export class Channel extends BuiltChannel {
  constructor(state, env) {
    const { storage } = state;
    const [setAlarm, getAlarm] = [storage.setAlarm.bind(storage), storage.getAlarm.bind(storage)];
    storage.setAlarm = (at) => setAlarm(new Date(at.getTime() - ahead));
    storage.getAlarm = async () => {
      const at = await getAlarm();
      return at === null ? null : at + ahead;
    };
    super(state, env);
  }
}
