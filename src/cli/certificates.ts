/** Certificates and keys in the files that flags name, checked as far as one can without a client. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { ServerConfig } from '../server/config.ts';

type Complain = (flag: string, problem: string) => void;

/** undefined: TLS is not configured, or something is wrong with it that was complained about. */
export function readIdentity(certFile: string, keyFile: string, complain: Complain): ServerConfig['tls'] {
  if (certFile !== '' && keyFile === '') complain('cert-file', 'needs --key-file as well');
  if (keyFile !== '' && certFile === '') complain('key-file', 'needs --cert-file as well');
  const certificate = read('cert-file', certFile, complain);
  const key = read('key-file', keyFile, complain);
  const leaf = certificate && parse(() => new X509Certificate(certificate));
  if (certificate && !leaf) complain('cert-file', `${certFile} is not a certificate in PEM format`);
  const privateKey = key && parse(() => createPrivateKey(key));
  if (key && !privateKey) complain('key-file', `${keyFile} is not a private key in PEM format, without a passphrase`);
  if (!certificate || !key || !leaf || !privateKey) return undefined;
  if (!leaf.checkPrivateKey(privateKey)) {
    complain('key-file', `the key in ${keyFile} does not belong to the certificate in ${certFile}`);
    return undefined;
  }
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    complain('cert-file', `cannot serve with ${certFile} and ${keyFile}: ${(error as Error).message}`);
    return undefined;
  }
  return { certificate, key };
}

/** One or more certificates of authorities; undefined: none are named, or something is wrong that was complained about. */
export function readAuthorities(flag: string, file: string, complain: Complain): Buffer | undefined {
  const bytes = read(flag, file, complain);
  if (!bytes) return undefined;
  if (parse(() => new X509Certificate(bytes)) && parse(() => createSecureContext({ ca: bytes }))) return bytes;
  complain(flag, `${file} has no certificates in PEM format`);
  return undefined;
}

function read(flag: string, file: string, complain: Complain): Buffer | undefined {
  if (file === '') return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    complain(flag, `cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
    return undefined;
  }
}

function parse<T>(attempt: () => T): T | undefined {
  try {
    return attempt();
  } catch {
    return undefined;
  }
}
