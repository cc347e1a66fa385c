/**
 * `npm run torture:serve`: tests/worker/torture.mjs through `courtside serve`, with its lock and its supervisor. By
 * turns all of it is ended, as by a power cut, and started again, or the runtime alone, which is then started again.
 *
 *     node tests/serve/torture.mjs [kills] [seed]      500 kills and a random seed, unless they are given
 */
import { fast } from '../worker/storms.mjs';
import { report, torture } from '../worker/torture.mjs';
import { Scope } from '../worker/trials.mjs';
import { Served } from './served.mjs';

export class Tortured extends Served {
  /** Whether the supervisor outlived the last kill. */
  #isSupervised = false;
  #from = 0;

  /** There is no way to have an object lose its memory alone. */
  evict = async () => 0;

  async kill() {
    this.#isSupervised = !this.#isSupervised;
    if (!this.#isSupervised) return super.kill();
    this.#from = this.lines.length;
    process.kill(this.runtimePid, 'SIGKILL');
    await this.heard('the runtime ended', this.#from);
  }

  async start() {
    await (this.#isSupervised ? this.heard('ready', this.#from) : super.start());
  }

  async stop() {
    await this.end();
    return null;
  }
}

if (process.argv[1] === import.meta.filename) {
  const [kills = 500, seed = Math.floor(Math.random() * 2 ** 32)] = process.argv.slice(2).map(Number);
  console.log(`torture of courtside serve: ${kills} kills, seed ${seed}`);
  const scope = new Scope();
  try {
    const runtime = await Tortured.start(scope, { environment: fast });
    console.log(report(await torture({ kills, seed, say: console.log, runtime })));
  } finally {
    await scope.end();
  }
}
