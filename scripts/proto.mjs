// Generates static code from proto/etcd into src/proto/generated (not in git) and puts a copy into dist, because tsc leaves
// JavaScript inputs alone. Does nothing where the code is up to date, so it can run before every build.
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const require = createRequire(import.meta.url);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sources = join(root, 'proto/etcd');
const generated = join(root, 'src/proto/generated');
const distributed = join(root, 'dist/proto/generated');

// Encode and decode only: everything else (reflection, conversion from plain objects, service stubs) has no user here.
const options = ['--target', 'static-module', '--wrap', 'esm', '--root', 'plinth', '--path', sources].concat(
  ['create', 'verify', 'convert', 'delimited', 'typeurl', 'service'].map((what) => `--no-${what}`),
);

const protos = (await readdir(sources)).filter((name) => name.endsWith('.proto')).sort();
const stamp = await fingerprint();
if ((await readFile(join(generated, 'stamp'), 'utf8').catch(() => '')) !== stamp) await generate();
await mkdir(distributed, { recursive: true });
for (const name of ['etcd.js', 'etcd.d.ts']) await place(join(generated, name), distributed);

/** Changes whenever the result might: the sources, the generator, this script. */
async function fingerprint() {
  const hash = createHash('sha256').update(require('protobufjs-cli/package.json').version);
  for (const file of [fileURLToPath(import.meta.url), ...protos.map((name) => join(sources, name))]) {
    hash.update(await readFile(file));
  }
  return hash.digest('hex');
}

async function generate() {
  await mkdir(generated, { recursive: true });
  const scratch = await mkdtemp(join(generated, 'tmp-'));
  try {
    const pbjs = promisify(require('protobufjs-cli/pbjs').main);
    const code = join(scratch, 'etcd.js');
    // Types are made from the comments in the code; the code that is kept goes without them (half the size).
    await pbjs([...options, '--dts', '--out', code, ...protos]);
    await pbjs([...options, '--no-comments', '--out', code, ...protos]);
    // The types need no more of Long than its halves, and `long` is not a dependency of ours.
    const types = await readFile(join(scratch, 'etcd.d.ts'), 'utf8');
    const narrowed = types.replace('import Long = require("long");', 'import type { Long } from "protobufjs";');
    await writeFile(join(scratch, 'etcd.d.ts'), narrowed);
    await writeFile(join(scratch, 'stamp'), stamp);
    for (const name of ['etcd.js', 'etcd.d.ts', 'stamp']) await rename(join(scratch, name), join(generated, name));
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** Copies beside the destination first, so that a build running at the same time never sees half a file. */
async function place(file, directory) {
  const name = basename(file);
  const scratch = join(directory, `.${name}-${process.pid}`);
  await cp(file, scratch);
  await rename(scratch, join(directory, name));
}
