import { readFileSync } from 'node:fs';

/** The etcd that clients are told they talk to; it decides which requests they dare to send. */
export const etcdVersion = '3.7.3';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export const plinthVersion = manifest.version;
