/** What must hold, in the order in which it is tried; each check builds on those before it. */
import assert from 'node:assert/strict';
import { type Child, eventually } from '../../support/process.ts';
import type { Server } from '../../support/server.ts';
import type { ApiServer } from './apiserver.ts';
import {
  configMap,
  configMapList,
  type List,
  type Meta,
  names,
  namespace,
  secret,
  widgetDefinition,
  widgetList,
} from './objects.ts';

export interface Subject {
  readonly server: Server;
  readonly api: ApiServer;
}

export interface Check {
  readonly name: string;
  /** Why this check makes no sense for this server; undefined: it does. */
  skip?(server: Server): string | undefined;
  run(subject: Subject): Promise<void>;
}

const pageSize = 200;
const pagedSecrets = 450;
const eventTimeoutMs = 60_000;
const configMaps = `/api/v1/namespaces/${namespace}/configmaps`;
const secrets = `/api/v1/namespaces/${namespace}/secrets`;

/** The lines that a `kubectl get -w` has printed, once there are `count`; then asserts that they are exactly these, in any order. */
async function watchLines(watch: Child, expected: readonly string[]): Promise<void> {
  const lines = (): string[] => watch.output.split('\n').filter((line) => line !== '');
  await eventually(
    async () => assert.ok(lines().length >= expected.length, `${lines().length} events, want ${expected.length}`),
    watch,
    eventTimeoutMs,
  );
  assert.deepEqual(lines().toSorted(), expected.toSorted());
}

const watchFormat = '-o=jsonpath={.type} {.object.metadata.name} {.object.data.round}{"\\n"}';

function watchConfigMaps(api: ApiServer, selector: string): Child {
  const args = ['get', 'configmaps', `-n=${namespace}`, `-l=${selector}`, '-w', '--output-watch-events', watchFormat];
  return api.kubectlChild(args);
}

/** Name and resourceVersion of everything in a collection. */
async function versions(api: ApiServer, resource: string): Promise<Map<string, string>> {
  const list = await api.json<List>('GET', resource);
  return new Map(list.items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
}

/** The revision up to which the apiserver has compacted, as it notes it itself; 0: not yet. */
async function compactedRevision(server: Server): Promise<number> {
  const { kvs } = await server.client.call('KV/Range', { key: 'compact_rev_key' });
  return Number(kvs[0]?.value ?? 0);
}

async function restartUnder({ server, api }: Subject, signal: NodeJS.Signals): Promise<void> {
  const before = await versions(api, configMaps);
  const secretsBefore = await versions(api, secrets);
  assert.ok(before.size > 0 && secretsBefore.size > 0);
  await server.restart(signal);
  await api.ready();
  assert.deepEqual(await eventually(() => versions(api, configMaps), api.child, eventTimeoutMs), before);
  assert.deepEqual(await eventually(() => versions(api, secrets), api.child, eventTimeoutMs), secretsBefore);
  const name = `after-${signal.toLowerCase()}`;
  // A create whose answer was lost in the restart may have happened: AlreadyExists is as good.
  await eventually(
    async () => {
      const reply = await api.request('POST', configMaps, configMap(name, { round: '0' }));
      assert.ok(reply.status === 201 || reply.status === 409, `${reply.status} ${reply.body}`);
    },
    api.child,
    eventTimeoutMs,
  );
  assert.equal((await versions(api, configMaps)).size, before.size + 1);
}

export const checks: readonly Check[] = [
  {
    name: 'the apiserver becomes ready',
    run: ({ api }) => api.ready(),
  },
  {
    name: 'kubectl creates a namespace',
    async run({ api }) {
      await api.kubectl(['create', 'namespace', namespace]);
      const phase = await api.kubectl(['get', 'namespace', namespace, '-o=jsonpath={.status.phase}']);
      assert.equal(phase, 'Active');
    },
  },
  {
    name: 'kubectl get -w sees every change of 25 config maps: created, changed twice, deleted',
    async run({ api }) {
      const all = names('watched', 25);
      const watch = watchConfigMaps(api, '!other');
      try {
        // A first object shows that the watch is there: what comes next cannot come from its initial list.
        await api.json('POST', configMaps, configMap('watch-begins', { round: '0' }));
        await watchLines(watch, ['ADDED watch-begins 0']);
        await api.kubectl(['create', '-f=-'], configMapList(all));
        for (const round of ['1', '2']) {
          const patch = JSON.stringify({ data: { round } });
          await api.kubectl(['patch', `-n=${namespace}`, '--type=merge', `-p=${patch}`, 'configmap', ...all]);
        }
        await api.kubectl(['delete', 'configmap', `-n=${namespace}`, ...all]);
        await watchLines(watch, [
          'ADDED watch-begins 0',
          ...all.flatMap((name) => [
            `ADDED ${name} 0`,
            `MODIFIED ${name} 1`,
            `MODIFIED ${name} 2`,
            `DELETED ${name} 2`,
          ]),
        ]);
      } finally {
        await watch.stop();
      }
    },
  },
  {
    name: 'an update with an old resourceVersion is refused, one with the present version succeeds',
    async run({ api }) {
      const resource = `${configMaps}/conflict`;
      const first = await api.json<{ metadata: Meta }>('POST', configMaps, configMap('conflict', { round: '0' }));
      const change = (round: string, resourceVersion: string): object => {
        const object = configMap('conflict', { round }) as { metadata: object };
        return { ...object, metadata: { ...object.metadata, resourceVersion } };
      };
      const second = await api.json<{ metadata: Meta }>('PUT', resource, change('1', first.metadata.resourceVersion));
      assert.equal((await api.request('PUT', resource, change('2', first.metadata.resourceVersion))).status, 409);
      await api.json('PUT', resource, change('2', second.metadata.resourceVersion));
    },
  },
  {
    name: `paging: ${pagedSecrets} secrets in pages of ${pageSize}, all of one resourceVersion, unmoved by a write between`,
    async run({ api }) {
      const all = names('paged', pagedSecrets);
      for (const name of all) await api.json('POST', secrets, secret(name));
      const seen: string[] = [];
      const found = new Set<string>();
      let token = '';
      for (const [length, remaining] of [
        [pageSize, pagedSecrets - pageSize],
        [pageSize, pagedSecrets - 2 * pageSize],
        [pagedSecrets - 2 * pageSize, undefined],
      ] as const) {
        const page = await api.json<List>('GET', `${secrets}?limit=${pageSize}&continue=${encodeURIComponent(token)}`);
        assert.equal(page.items.length, length);
        assert.equal(page.metadata.remainingItemCount, remaining);
        seen.push(...page.items.map((item) => item.metadata.name));
        found.add(page.metadata.resourceVersion);
        token = page.metadata.continue ?? '';
        if (seen.length === pageSize) await api.json('POST', secrets, secret('paged-between'));
      }
      assert.equal(token, '');
      assert.deepEqual(seen, all);
      assert.equal(found.size, 1);
      const listed = await api.kubectl(['get', 'secrets', `-n=${namespace}`, `--chunk-size=${pageSize}`, '-o=name']);
      assert.equal(listed.trim().split('\n').length, pagedSecrets + 1);
    },
  },
  {
    name: 'kubectl creates a CustomResourceDefinition and objects of it',
    async run({ api }) {
      await api.kubectl(['create', '-f=-'], widgetDefinition);
      await api.kubectl(['wait', '--for=condition=Established', 'crd/widgets.example.dev', '--timeout=60s']);
      await eventually(() => api.kubectl(['create', '-f=-'], widgetList([1])), api.child, eventTimeoutMs);
      await api.kubectl(['create', '-f=-'], widgetList([2, 3, 4]));
      const refused = await api.kubectlOutput(['create', '-f=-'], widgetList([0]));
      assert.match(refused.stderr, /should be greater than or equal to 1/);
      await api.kubectl(['patch', 'widget', 'widget-2', `-n=${namespace}`, '--type=merge', '-p={"spec":{"size":20}}']);
      await api.kubectl(['delete', 'widget', 'widget-3', `-n=${namespace}`]);
      const sizes = await api.kubectl(['get', 'widgets', `-n=${namespace}`, '-o=jsonpath={.items[*].spec.size}']);
      assert.equal(sizes, '1 20 4');
    },
  },
  {
    name: "the apiserver's compactor compacts, and a read at an old revision says so",
    async run({ server, api }) {
      const { metadata } = await api.json<{ metadata: Meta }>(
        'POST',
        configMaps,
        configMap('in-image', { round: 'found-by-sql' }),
      );
      const revision = Number(metadata.resourceVersion);
      await eventually(
        async () => assert.ok((await compactedRevision(server)) >= revision, `not compacted at ${revision} yet`),
        api.child,
        eventTimeoutMs,
      );
      // The compactor writes its key first and then compacts: both reads may fall between the two.
      const refused = () =>
        assert.rejects(
          server.client.call('KV/Range', { key: 'compact_rev_key', revision: revision - 1 }),
          /required revision has been compacted/,
        );
      await eventually(refused, api.child, eventTimeoutMs);
    },
  },
  {
    name: "after the compaction the object is found by SQL in plinth's image",
    skip: (server) => (server.imageRow ? undefined : `${server.name} has no image`),
    async run({ server, api }) {
      const key = `/registry/configmaps/${namespace}/in-image`;
      const row = await eventually(
        async () => {
          const found = await server.imageRow?.(key);
          assert.ok(found, `no row ${key} in the image`);
          return found;
        },
        api.child,
        eventTimeoutMs,
      );
      assert.ok(row.value.includes('found-by-sql'));
      const { metadata } = await api.json<{ metadata: Meta }>('GET', `${configMaps}/in-image`);
      assert.equal(String(row.modRevision), metadata.resourceVersion);
    },
  },
  {
    name: 'the server is restarted (SIGTERM) under the running apiserver: nothing is lost, writes go on',
    run: (subject) => restartUnder(subject, 'SIGTERM'),
  },
  {
    name: 'the server is killed (SIGKILL) under the running apiserver: nothing is lost, writes go on',
    run: (subject) => restartUnder(subject, 'SIGKILL'),
  },
  {
    name: 'after the restarts kubectl get -w sees changes again',
    async run({ api }) {
      const watch = watchConfigMaps(api, 'after=restart');
      try {
        const object = configMap('watched-again', { round: '7' }) as { metadata: object };
        const labelled = { ...object, metadata: { ...object.metadata, labels: { after: 'restart' } } };
        await api.json('POST', configMaps, labelled);
        await watchLines(watch, ['ADDED watched-again 7']);
        await api.kubectl(['delete', 'configmap', 'watched-again', `-n=${namespace}`]);
        await watchLines(watch, ['ADDED watched-again 7', 'DELETED watched-again 7']);
      } finally {
        await watch.stop();
      }
    },
  },
  {
    name: 'collections and the CustomResourceDefinition are deleted',
    async run({ api }) {
      // kubectl deletes one by one, at a few a second; the apiserver deletes a collection by itself.
      await api.json('DELETE', secrets);
      await api.kubectl(['delete', 'configmaps', '--all', `-n=${namespace}`]);
      await api.kubectl(['delete', 'crd', 'widgets.example.dev', '--timeout=60s']);
      assert.equal((await versions(api, secrets)).size, 0);
      assert.equal((await versions(api, configMaps)).size, 0);
      await eventually(
        async () => assert.equal((await api.request('GET', '/apis/example.dev/v1/widgets')).status, 404),
        api.child,
        eventTimeoutMs,
      );
    },
  },
  {
    name: "a namespace is deleted; its finalizer, a controller's job elsewhere, is removed by hand",
    async run({ api }) {
      await api.kubectl(['delete', 'namespace', namespace, '--wait=false']);
      const object = await api.json<{ spec: object; status: { phase: string } }>(
        'GET',
        `/api/v1/namespaces/${namespace}`,
      );
      assert.equal(object.status.phase, 'Terminating');
      const refused = await api.request('POST', configMaps, configMap('too-late', {}));
      assert.equal(refused.status, 403);
      const finalized = { ...object, spec: { ...object.spec, finalizers: [] } };
      await api.json('PUT', `/api/v1/namespaces/${namespace}/finalize`, finalized);
      assert.equal((await api.request('GET', `/api/v1/namespaces/${namespace}`)).status, 404);
    },
  },
];
