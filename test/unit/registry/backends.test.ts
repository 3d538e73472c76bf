import t from 'tap';
import { registerBuiltin } from '../../../src/backends/register.ts';
import type { Backend, BuildContext, Storage } from '../../../src/registry/backend.ts';
import { Backends } from '../../../src/registry/backends.ts';
import type { Flag } from '../../../src/registry/flag.ts';

const flag = (name: string): Flag => ({ name, type: 'string', group: 'test', help: 'For a test.' });
const context: BuildContext = { dataDir: 'nowhere', keyspace: 'default', warn: () => {} };

interface Fake extends Backend {
  readonly calls: string[];
  readonly storage: Storage;
}

function fake(name: string, flags: readonly string[] = [], problems: readonly string[] = []): Fake {
  const calls: string[] = [];
  const storage = {} as Storage;
  return {
    name,
    flags: flags.map(flag),
    calls,
    storage,
    validate: () => {
      calls.push('validate');
      return [...problems];
    },
    build: async () => {
      calls.push('build');
      return storage;
    },
  };
}

t.test('names are sorted, flags are those of all', (t) => {
  const backends = new Backends();
  backends.register(fake('zebra', ['zebra-stripes']));
  backends.register(fake('apple', ['apple-colour', 'apple-size']));
  t.same(backends.names(), ['apple', 'zebra']);
  t.same(
    backends.flags().map(({ name }) => name),
    ['apple-colour', 'apple-size', 'zebra-stripes'],
  );
  t.end();
});

t.test('register refuses what would be ambiguous, and keeps nothing of it', (t) => {
  const backends = new Backends();
  backends.register(fake('apple', ['apple-size']));
  t.throws(() => backends.register(fake('apple')), /apple is already registered/);
  t.throws(() => backends.register(fake('pear', ['size'])), /--size must begin with --pear-/);
  t.throws(() => backends.register(fake('pear', ['apple-colour'])), /--apple-colour must begin with --pear-/);
  t.throws(() => backends.register(fake('pear', ['pear-size', 'pear-size'])), /--pear-size is already declared/);
  t.throws(() => backends.register(fake('Pear')), /backend name "Pear"/);
  t.throws(() => backends.register(fake('')), /backend name ""/);
  t.same(backends.names(), ['apple']);
  t.same(
    backends.flags().map(({ name }) => name),
    ['apple-size'],
  );
  t.end();
});

t.test('an unknown name is told the known ones', async (t) => {
  const backends = new Backends();
  backends.register(fake('zebra'));
  backends.register(fake('apple'));
  t.throws(() => backends.get('pear'), /unknown storage backend "pear"; known: apple, zebra/);
  t.throws(() => backends.validate('pear', new Map()), /known: apple, zebra/);
  await t.rejects(backends.build('pear', new Map(), context), /known: apple, zebra/);
});

t.test('only the selected one is validated and built', async (t) => {
  const backends = new Backends();
  const selected = fake('apple');
  const other = fake('zebra', [], ['its own problem']);
  backends.register(selected);
  backends.register(other);
  t.same(backends.validate('apple', new Map()), []);
  t.equal(await backends.build('apple', new Map(), context), selected.storage);
  t.same(other.calls, []);
  t.same(backends.validate('zebra', new Map()), ['its own problem']);
  await t.rejects(backends.build('zebra', new Map(), context), /its own problem/);
  t.notOk(other.calls.includes('build'), 'nothing is built from wrong options');
  for (const keyspace of ['', 'a/b', 'x'.repeat(65)]) {
    await t.rejects(backends.build('apple', new Map(), { ...context, keyspace }), /keyspace/);
  }
});

t.test('instances are independent', (t) => {
  const one = new Backends();
  registerBuiltin(one);
  t.ok(['memory', 'sqlite'].every((name) => one.names().includes(name)));
  t.same(new Backends().names(), []);
  const two = new Backends();
  registerBuiltin(two);
  t.not(one.get('memory'), two.get('memory'));
  t.same(one.flags(), two.flags());
  t.end();
});
