import { Backends, registerBuiltin, run } from 'plinth';
import { jsonl } from './backend.ts';

const backends = new Backends();
registerBuiltin(backends);
backends.register(jsonl());
process.exit(await run(process.argv.slice(2), backends));
