/** plinth with every commit delayed by COMMIT_DELAY_MS, about as a real Spanner takes longer than its emulator. */
import { type Backend, Backends, registerBuiltin, run } from '../src/index.ts';

const delayMs = Number(process.env.COMMIT_DELAY_MS ?? 7);

const builtin = new Backends();
registerBuiltin(builtin);
const backends = new Backends();
for (const name of ['postgres', 'spanner']) {
  const backend = builtin.get(name) as Backend;
  backends.register({
    ...backend,
    async build(options, context) {
      const storage = await backend.build(options, context);
      const { log } = storage;
      const append = log.append.bind(log);
      log.append = async (...batch) => {
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        return await append(...batch);
      };
      return storage;
    },
  });
}
process.exit(await run(process.argv.slice(2), backends));
