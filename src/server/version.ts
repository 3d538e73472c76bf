import { readFileSync } from 'node:fs';
import { serverVersion } from '../etcdserver/version.ts';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export const plinthVersion = manifest.version;

/** What `plinth version` says. */
export const versionText = `plinth ${plinthVersion} (etcd API ${serverVersion})`;
