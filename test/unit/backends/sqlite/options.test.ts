import t from 'tap';
import { flags, parse, validate } from '../../../../src/backends/sqlite/options.ts';

const options = (value: string | number) => new Map([['sqlite-wal-bytes-max', value]]);

t.test('each problem names its flag', (t) => {
  t.same(validate(new Map()), []);
  t.same(validate(options(64 * 1024 * 1024)), []);
  for (const value of [0, -1, 1.5 * 2 ** 30 + 0.5, 64 * 1024 * 1024 - 1, 2 ** 60, 'much']) {
    t.match(validate(options(value)), [/^--sqlite-wal-bytes-max: /], String(value));
  }
  t.end();
});

t.test('an option that is not given has the default of its flag', (t) => {
  t.same(parse(new Map()), { walBytesMax: Number(flags[0]?.default) });
  t.same(parse(options(123456789)), { walBytesMax: 123456789 });
  t.same(validate(options(Number(flags[0]?.default))), []);
  t.end();
});
