import t from 'tap';
import { suggestion } from '../../../src/cli/suggest.ts';
import { parseDuration, parseInteger, parseValue } from '../../../src/cli/values.ts';
import type { Flag } from '../../../src/registry/flag.ts';

function flag(type: Flag['type'], choices?: readonly string[]): Flag {
  return { name: 'x', type, group: 'g', help: 'h', ...(choices ? { choices } : {}) };
}

t.test('durations as Go writes them', async (t) => {
  for (const [text, milliseconds] of [
    ['0', 0],
    ['0s', 0],
    ['300ms', 300],
    ['10s', 10_000],
    ['1.5s', 1500],
    ['.5s', 500],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1h0m0.25s', 3_600_250],
    ['1000us', 1],
    ['1000µs', 1],
    ['2000000ns', 2],
  ] as const) {
    t.ok(Math.abs(parseDuration(text) - milliseconds) < 1e-9, text);
  }
  for (const text of ['', 's', 'abc', '-5m', '5x', '5m3', '1h 30m', 'm5', '5mm', '1..5s']) {
    t.throws(() => parseDuration(text), /is not a duration/, JSON.stringify(text));
  }
  t.throws(() => parseDuration('10'), /"10" has no unit, write for instance 10s/);
});

t.test('numbers', async (t) => {
  t.equal(parseInteger('1572864'), 1572864);
  t.equal(parseInteger('-1'), -1);
  for (const text of ['', 'x', '1.5', '1e3', '0x10', '9007199254740993', ' 1', 'Infinity']) {
    t.throws(() => parseInteger(text), /is not a whole number/, JSON.stringify(text));
  }
});

t.test('texts, choices, lists and booleans', async (t) => {
  t.equal(parseValue(flag('string'), 'abc'), 'abc');
  t.equal(parseValue(flag('string', ['a', 'b']), 'b'), 'b');
  t.throws(() => parseValue(flag('string', ['a', 'b']), 'c'), /"c" is not one of a, b/);
  t.strictSame(parseValue(flag('strings'), 'a, b,c'), ['a', 'b', 'c']);
  t.strictSame(parseValue(flag('strings'), ''), []);
  t.equal(parseValue(flag('boolean'), 'true'), true);
  t.equal(parseValue(flag('boolean'), 'false'), false);
  t.throws(() => parseValue(flag('boolean'), 'yes'), /neither true nor false/);
});

t.test('suggestions are near or none', async (t) => {
  const known = ['data-dir', 'name', 'listen-client-urls'];
  t.equal(suggestion('datadir', known, '--'), ' (did you mean --data-dir?)');
  t.equal(suggestion('listen-clients-url', known), ' (did you mean listen-client-urls?)');
  t.equal(suggestion('initial-cluster', known), '');
});
