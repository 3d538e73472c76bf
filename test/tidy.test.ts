/** The house style, as far as a machine can check it. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';

const lineCountMax = 500;
const lineLengthMax = 140;

/** Which folders of src a folder may import from, besides itself. proto and observe are leaves. */
const allowedImports: Record<string, readonly string[]> = {
  main: ['cli', 'registry', 'backends'],
  index: ['cli', 'registry', 'backends'],
  cli: ['server', 'transport/address.ts', 'transport/grpc-server.ts', 'registry', 'observe', 'mvcc'],
  server: ['transport', 'etcdserver', 'peers', 'mvcc', 'registry', 'observe', 'proto'],
  transport: ['observe', 'proto'],
  etcdserver: ['transport/rpc.ts', 'mvcc', 'registry', 'proto', 'observe'],
  peers: ['transport/rpc.ts', 'transport/grpc/client-stream.ts', 'mvcc', 'registry', 'proto'],
  mvcc: ['registry', 'proto'],
  backends: ['registry'],
  registry: [],
  observe: [],
  proto: [],
};

/** Packages that belong to one folder, or few. */
const packageHomes: Record<string, string | readonly string[]> = {
  '@google-cloud/spanner': 'src/backends/spanner',
  '@grpc/grpc-js': ['src/transport/grpc-js', 'src/backends/spanner', 'src/backends/etcd3'],
  '@photostructure/sqlite': 'src/backends/sqlite',
  pg: 'src/backends/postgres',
  pino: 'src/observe',
  'prom-client': 'src/observe',
  commander: 'src/cli',
  yaml: 'src/cli',
};

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '' && existsSync(file));
const sources = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'));
const textFiles = files.filter(
  (file) => !file.endsWith('go.sum') && file !== 'package-lock.json' && file !== 'LICENSE',
);

function lines(file: string): string[] {
  return readFileSync(file, 'utf8').split('\n');
}

/** Module specifiers of a file, static and dynamic. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import\(|^import)\s*['"]([^'"]+)['"]/gm)].map(
    ([, specifier]) => specifier as string,
  );
}

/** `src/mvcc/draft.ts` is of `mvcc`, `src/main.ts` of `main`. */
function folderOf(file: string): string {
  return (file.split('/')[1] as string).replace(/\.ts$/, '');
}

t.test('imports go one way', (t) => {
  for (const file of sources.filter((name) => name.startsWith('src/'))) {
    const from = folderOf(file);
    t.ok(from in allowedImports, `${file} is in a folder that the architecture knows`);
    for (const specifier of importsOf(file).filter((name) => name.startsWith('.'))) {
      const target = normalize(join(dirname(file), specifier));
      const to = folderOf(target);
      const allowed = allowedImports[from] ?? [];
      const ok = to === from || allowed.includes(to) || allowed.includes(target.replace(/^src\//, ''));
      if (!ok) t.fail(`${file} imports ${target}`);
    }
  }
  t.end();
});

t.test('a package is used where it belongs', (t) => {
  for (const file of sources.filter((name) => name.startsWith('src/'))) {
    for (const specifier of importsOf(file)) {
      const homes = [packageHomes[specifier] ?? file].flat();
      if (!homes.some((home) => file.startsWith(home)))
        t.fail(`${file} imports ${specifier}, which belongs to ${homes.join(', ')}`);
    }
  }
  t.pass('looked at every import');
  t.end();
});

t.test('every file of src is imported by something', (t) => {
  const imported = new Set<string>();
  for (const file of sources) {
    for (const specifier of importsOf(file)) {
      if (specifier.startsWith('.')) imported.add(normalize(join(dirname(file), specifier)));
    }
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/new URL\(\s*[`'"]([^`'"]+)[`'"]/g)) {
      imported.add(normalize(join(dirname(file), path as string)).replace(/\$\{.*\}$/, 'ts'));
    }
  }
  const entries = ['src/main.ts', 'src/index.ts'];
  for (const file of sources.filter((name) => name.startsWith('src/') && !entries.includes(name))) {
    t.ok(imported.has(file), `${file} is imported`);
  }
  t.end();
});

t.test('files and lines are short, and nothing is left undone', (t) => {
  for (const file of sources) {
    const content = lines(file);
    if (content.length > lineCountMax) t.fail(`${file} has ${content.length} lines`);
    content.forEach((line, index) => {
      const place = `${file}:${index + 1}`;
      if (line.length > lineLengthMax) t.fail(`${place} has ${line.length} columns`);
      if (/\b(TODO|FIXME|XXX|HACK)\b/.test(line) && file !== 'test/tidy.test.ts')
        t.fail(`${place} leaves something undone`);
      if (/\b(t|test)\.(only|todo)\(/.test(line)) t.fail(`${place} leaves a test out`);
    });
  }
  t.pass('looked at every line');
  t.end();
});

t.test('no absolute path of a machine', (t) => {
  for (const file of textFiles) {
    if (!/\.(ts|mjs|md|json|sh|go|proto|yaml|yml)$|Makefile$|\.ci\/run$/.test(file)) continue;
    lines(file).forEach((line, index) => {
      if (/(^|[^\w.}/-])\/(work|root|home)\/\w/.test(line)) t.fail(`${file}:${index + 1}: ${line.trim()}`);
    });
  }
  t.pass('looked at every text file');
  t.end();
});

t.test('relative links in the documentation lead somewhere', (t) => {
  for (const file of textFiles.filter((name) => name.endsWith('.md'))) {
    for (const [, link] of readFileSync(file, 'utf8').matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(link as string)) continue;
      t.ok(existsSync(join(dirname(file), link as string)), `${file} links to ${link}`);
    }
  }
  t.end();
});
