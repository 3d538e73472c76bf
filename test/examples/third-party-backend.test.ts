/** The example keeps the storage contract, and its program serves clients from it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { jsonl } from '../../examples/third-party-backend/backend.ts';
import { contract } from '../backends/contract/suite.ts';
import { Child, eventually, freePorts, repositoryRoot, temporaryDirectory } from '../support/process.ts';
import { RawClient } from '../support/raw-client.ts';

contract(async () => ({ backend: jsonl(), options: new Map() }), {
  otherProcesses: false,
  keyBytesMax: 1.5 * 1024 * 1024,
});

const main = join('examples', 'third-party-backend', 'main.ts');
const start = (...args: string[]) => new Child('node', ['--import', 'tsx', main, ...args], { cwd: repositoryRoot });

t.test('its program serves from it, also after it was killed', async (t) => {
  const dataDir = temporaryDirectory('third-party');
  const [port] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const children: Child[] = [];
  const client = new RawClient(`127.0.0.1:${port}`);
  t.teardown(async () => {
    client.close();
    for (const child of children) await child.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  const serve = async () => {
    const listen = [`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`, `--data-dir=${dataDir}`];
    const child = start('serve', '--storage-backend=jsonl', '--jsonl-extension=txt', ...listen);
    children.push(child);
    await eventually(() => client.call('KV/Range', { key: 'ready' }, { timeoutMs: 2_000 }), child);
    return child;
  };

  const first = await serve();
  await client.call('KV/Put', { key: 'hello', value: 'world' });
  await client.call('KV/Put', { key: 'hello', value: 'again' });
  await first.stop('SIGKILL');
  const file = join(dataDir, 'default.txt');
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  t.ok(lines.length >= 3, 'genesis and two puts');
  t.ok(lines.every((line) => JSON.parse(line).kind === 'batch'));

  writeFileSync(file, '{"kind":"batch","slot":', { flag: 'a' });
  const second = await serve();
  t.match(
    await client.call('KV/Range', { key: 'hello' }),
    { kvs: [{ version: 2 }], count: 1 },
    'a torn line is nothing',
  );
  await second.stop('SIGTERM');
  t.equal((await second.exited).code, 0, second.output);
});

t.test("its flag is in the help, its problems are told, plinth's own backends are there", async (t) => {
  const help = start('serve', '--help');
  await help.exited;
  t.match(help.output, /--jsonl-extension/);
  t.match(help.output, /--sqlite-/);
  const wrong = start('serve', '--storage-backend=jsonl', '--jsonl-extension=../x');
  t.not((await wrong.exited).code, 0);
  t.match(wrong.output, /--jsonl-extension: only letters and digits/);
});
