/** Certificates for the tests of one process. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { TlsIdentity } from '../../../src/transport/tls.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';

let made: Certificates | undefined;
let others: Certificates | undefined;

function make(): Certificates {
  const directory = mkdtempSync(join(tmpdir(), 'plinth-certificates-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return makeCertificates(directory, 'client');
}

/** For 127.0.0.1 and localhost; made when they are first asked for. */
export function certificates(): Certificates {
  made ??= make();
  return made;
}

export function serverIdentity(): TlsIdentity {
  const { cert, key } = certificates().server;
  return { certificate: readFileSync(cert), key: readFileSync(key) };
}

/** Nobody here has a certificate of it. */
export function otherAuthority(): Buffer {
  others ??= make();
  return readFileSync(others.ca);
}

/** What clients trust. */
export function authority(): Buffer {
  return readFileSync(certificates().ca);
}
