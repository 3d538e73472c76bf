/** Certificates for one test, by openssl: an authority, a server at 127.0.0.1, and a client. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { findExecutable } from './process.ts';

export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

/** Names of PEM files. */
export interface Certificates {
  readonly ca: string;
  readonly server: CertificatePair;
  readonly client: CertificatePair;
}

const days = '2';
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** False where it is there; else why the test is skipped. */
export function withoutOpenssl(): string | false {
  return findExecutable('openssl') ? false : 'openssl is not on PATH';
}

/** `client`: the common name of the client. */
export function makeCertificates(directory: string, client: string): Certificates {
  const file = (name: string): string => path.join(directory, name);
  const openssl = (...args: string[]): void => {
    execFileSync(findExecutable('openssl') as string, args, { cwd: directory, stdio: 'pipe' });
  };
  const pair = (name: string): CertificatePair => ({ cert: file(`${name}.pem`), key: file(`${name}-key.pem`) });
  const authority = pair('ca');
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    authority.key,
    '-out',
    authority.cert,
    '-days',
    days,
    '-subj',
    '/CN=test CA',
  );
  const sign = (name: string, commonName: string, extensions: string): CertificatePair => {
    const signed = pair(name);
    const [request, extra] = [file(`${name}.csr`), file(`${name}.ext`)];
    fs.writeFileSync(extra, extensions);
    openssl('req', ...newKey, '-keyout', signed.key, '-out', request, '-subj', `/CN=${commonName}`);
    const by = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial'];
    openssl('x509', '-req', '-in', request, ...by, '-out', signed.cert, '-days', days, '-extfile', extra);
    return signed;
  };
  return {
    ca: authority.cert,
    // etcd's own gateway is a client of it, with the same certificate.
    server: sign(
      'server',
      'etcd',
      'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n',
    ),
    client: sign('client', client, 'extendedKeyUsage=clientAuth\n'),
  };
}
