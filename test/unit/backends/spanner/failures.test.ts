/** What errors of the client library mean, and what is told of them. */
import t from 'tap';
import {
  Code,
  codeOf,
  detailsOf,
  failureOf,
  isMissingRow,
  missingResource,
  retryDelayMsOf,
} from '../../../../src/backends/spanner/failure.ts';
import { Fenced } from '../../../../src/registry/image.ts';
import { BackendError } from '../../../../src/registry/log.ts';

interface Given {
  readonly code?: number | string | undefined;
  readonly details?: string;
  readonly statusDetails?: readonly unknown[];
  readonly cause?: unknown;
}

/** As the library throws it: with a number and a name of the code before the text. */
function thrown(message: string, { code, cause, ...more }: Given = {}): Error {
  const error = new Error(typeof code === 'number' ? `${code} SOME_CODE: ${message}` : message, { cause });
  const details = typeof code === 'number' ? { details: message } : {};
  return Object.assign(error, code === undefined ? {} : { code }, details, more);
}

const failed = (message: string, given?: Given, kind: 'read' | 'write' = 'write') =>
  failureOf(thrown(message, given), 'projects/p at host', kind) as BackendError;

t.test('which errors leave open whether the write is there', (t) => {
  const unknown: string[] = [
    'CANCELLED',
    'UNKNOWN',
    'DEADLINE_EXCEEDED',
    'RESOURCE_EXHAUSTED',
    'INTERNAL',
    'UNAVAILABLE',
  ];
  for (const [name, code] of Object.entries(Code)) {
    t.equal(failed('m', { code }).outcome, unknown.includes(name) ? 'unknown' : 'failed', name);
    t.equal(failed('m', { code }, 'read').outcome, 'failed', `${name}, of a read`);
  }
  t.equal(failed('m', { code: 15 }).outcome, 'unknown', 'DATA_LOSS');
  t.equal(failed('m', { code: 99 }).outcome, 'unknown', 'a code that is not known');
  t.equal(failed('m').outcome, 'failed', 'nothing was sent');
  t.equal(failed('m', { code: 'ENOENT' }).outcome, 'failed', 'a code of the system: nothing was sent');
  t.end();
});

t.test('the text says where, and what to do', (t) => {
  const texts: (readonly [BackendError, string])[] = [
    [
      failed('too slow', { code: Code.DEADLINE_EXCEEDED }),
      'check the network and the load of the instance, or raise --spanner-timeout',
    ],
    [failed('no', { code: Code.PERMISSION_DENIED }), 'grant the account roles/spanner.databaseUser'],
    [failed('full', { code: Code.RESOURCE_EXHAUSTED }), 'check quotas and the size of the instance'],
    [failed('away', { code: Code.UNAVAILABLE }), 'check the address, firewalls and the network'],
    [failed('who', { code: Code.UNAUTHENTICATED }), 'check the credentials'],
    [
      failed('Database not found: projects/p', { code: Code.NOT_FOUND }),
      'create the database, or start with --spanner-create',
    ],
    [failed('Instance not found: projects/p', { code: Code.NOT_FOUND }), 'create the instance'],
    [
      failed('Could not load the default credentials. Browse to https://cloud.google.com'),
      'no credentials: give --spanner-credentials-file, or application default credentials',
    ],
  ];
  for (const [{ message }, advice] of texts) t.ok(message.endsWith(` (projects/p at host: ${advice})`), message);
  t.equal(failed('odd', { code: Code.INTERNAL }).message, 'spanner: odd (projects/p at host)');
  t.equal(failed('odd', { code: Code.NOT_FOUND }).message, 'spanner: odd (projects/p at host)');
  t.end();
});

t.test('no stack, nothing of the request and no credentials in it', (t) => {
  const error = failed(
    'Getting metadata from plugin failed: invalid_grant\n    at Gaxios (/secret/file.js:1:2)\n  token secret',
    {
      code: Code.UNAUTHENTICATED,
      statusDetails: [{ metadata: 'secret' }],
      cause: { config: { headers: { Authorization: 'Bearer secret' } } },
    },
  );
  t.equal(
    error.message,
    'spanner: Getting metadata from plugin failed: invalid_grant (projects/p at host: check the credentials)',
  );
  t.same(error.cause, { code: Code.UNAUTHENTICATED });
  t.notMatch(`${JSON.stringify(error)} ${JSON.stringify(error.cause)}`, /secret/);
  t.end();
});

t.test('what is known already stays as it is', (t) => {
  for (const error of [new BackendError('unknown', 'm'), new BackendError('failed', 'm'), new Fenced()]) {
    t.equal(failureOf(error, 'where', 'write'), error);
  }
  t.end();
});

t.test('where the code is', (t) => {
  t.equal(codeOf(thrown('m', { code: 5 })), 5);
  t.equal(codeOf(thrown('m', { cause: { code: 14 } })), 14, 'in the cause of what was wrapped');
  t.equal(codeOf(thrown('m', { code: 'EPIPE', cause: { code: 14 } })), 14);
  t.equal(codeOf(thrown('m')), undefined);
  t.equal(codeOf(failed('m', { code: Code.ABORTED })), Code.ABORTED, 'also once it is a BackendError');
  t.equal(detailsOf(thrown('text', { code: 5 })), 'text');
  t.equal(detailsOf(thrown('text')), 'text');
  t.end();
});

t.test('what is not there: a session, a database, or just a row', (t) => {
  const named = (resourceType: string) =>
    thrown('gone', { code: Code.NOT_FOUND, statusDetails: [{}, { resourceType }] });
  t.equal(missingResource(named('type.googleapis.com/google.spanner.v1.Session')), 'Session');
  t.equal(missingResource(named('type.googleapis.com/google.spanner.admin.database.v1.Database')), 'Database');
  // The emulator says it in words only.
  for (const resource of ['Session', 'Database', 'Instance']) {
    t.equal(missingResource(thrown(`${resource} not found: x`, { code: Code.NOT_FOUND })), resource);
    t.equal(missingResource(thrown(`${resource} does not exist`, { code: Code.NOT_FOUND })), resource);
    t.equal(isMissingRow(thrown(`${resource} not found: x`, { code: Code.NOT_FOUND })), false);
  }
  const row = thrown('Row [default,7] in table plinth_log is missing. Row cannot be updated.', {
    code: Code.NOT_FOUND,
  });
  t.equal(missingResource(row), undefined);
  t.equal(isMissingRow(row), true);
  t.equal(
    missingResource(thrown('Session not found: x', { code: Code.INTERNAL })),
    undefined,
    'by another code it is not',
  );
  t.equal(isMissingRow(thrown('m', { code: Code.ALREADY_EXISTS })), false);
  t.end();
});

t.test('how long to wait before an aborted commit is tried again', (t) => {
  const delay = (retryDelay: unknown) =>
    retryDelayMsOf(thrown('m', { code: Code.ABORTED, statusDetails: [{}, { retryDelay }] }));
  t.equal(delay({ seconds: '1', nanos: 500_000_000 }), 1500);
  t.equal(delay({ seconds: 2 }), 2000);
  t.equal(delay({ nanos: 10_000 }), 0.01);
  t.equal(delay({ seconds: null, nanos: null }), 0);
  t.equal(delay(null), undefined);
  t.equal(retryDelayMsOf(thrown('m', { code: Code.ABORTED, statusDetails: [] })), undefined);
  t.equal(retryDelayMsOf(thrown('m', { code: Code.ABORTED })), undefined);
  t.end();
});
