/** Failed TLS handshakes and violations of HTTP/2 in the log: bounded, and counted where they are left out. */
import t from 'tap';
import { type LogFields, silentLogger } from '../../../src/observe/log.ts';
import { toldRejectionsBurst, toldRejectionsPerSecond } from '../../../src/server/limits.ts';
import { handshakeTeller, violationTeller } from '../../../src/server/rejections.ts';

t.test('so many at level warn, then so many per second; the others at level debug', async (t) => {
  const warned: LogFields[] = [];
  const debugged: LogFields[] = [];
  let now = 0;
  const log = {
    ...silentLogger,
    warn: (fields: LogFields) => warned.push(fields),
    debug: (fields: LogFields) => debugged.push(fields),
  };
  const tell = handshakeTeller(log, () => now);
  const failure = Object.assign(new Error('0A0B:error:SSL routines:…:http request'), {
    code: 'ERR_SSL_HTTP_REQUEST',
    reason: 'http request',
  });
  const told = (): number[] => [warned.length, debugged.length];
  for (let i = 0; i < toldRejectionsBurst + 5; i++) tell(`10.0.0.1:${i}`, failure);
  t.strictSame(told(), [toldRejectionsBurst, 5]);
  t.strictSame(warned[0], { peer: '10.0.0.1:0', reason: 'http request', code: 'ERR_SSL_HTTP_REQUEST', untold: 0 });
  now += 1000;
  for (let i = 0; i < 10; i++) tell('10.0.0.2:1', failure);
  t.equal(warned.length, toldRejectionsBurst + toldRejectionsPerSecond);
  t.match(warned[toldRejectionsBurst], { peer: '10.0.0.2:1', untold: 5 }, 'with those that were left out');
  now += 60_000;
  const before = told();
  tell('10.0.0.3:1', Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }));
  t.strictSame(told(), [before[0], before[1]! + 1], 'whoever just leaves is never worth a warning');
  t.match(debugged.at(-1), { peer: '10.0.0.3:1', reason: 'socket hang up' });
});

t.test('violations: the same bounds, each kind with its own', async (t) => {
  const warned: LogFields[] = [];
  const log = { ...silentLogger, warn: (fields: LogFields) => warned.push(fields) };
  const tell = violationTeller(log, () => 0);
  for (let i = 0; i < toldRejectionsBurst + 5; i++) tell('10.0.0.1:2', 'ENHANCE_YOUR_CALM', 'too many broken calls');
  t.equal(warned.length, toldRejectionsBurst);
  t.strictSame(warned[0], {
    peer: '10.0.0.1:2',
    reason: 'too many broken calls',
    code: 'ENHANCE_YOUR_CALM',
    untold: 0,
  });
});
