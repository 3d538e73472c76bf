/** The databases that replicas can share, started by the test. */
import { credentials } from '@grpc/grpc-js';
import { newPostgresDatabase, startPostgres, withoutPostgres } from './postgres.ts';
import type { ImageRow } from './server.ts';
import { flagsOf, startSpannerEmulator, withoutSpanner } from './spanner.ts';
import { TcpProxy } from './tcp-proxy.ts';

export interface NewDatabase {
  /** For any number of replicas. `through`: of a proxy before the server. */
  flags(through?: TcpProxy): readonly string[];
  /** What plain SQL finds in the image. */
  imageRow(key: string): Promise<ImageRow | undefined>;
}

export interface DatabaseServer {
  newDatabase(): NewDatabase;
  /** A proxy before the server. */
  proxy(): Promise<TcpProxy>;
  close(): Promise<void>;
}

export interface SharedBackend {
  readonly name: string;
  /** False, or why it cannot be started. */
  readonly without: string | false;
  start(): Promise<DatabaseServer>;
}

const postgres: SharedBackend = {
  name: 'postgres',
  without: withoutPostgres(),
  async start() {
    const server = await startPostgres();
    return {
      newDatabase() {
        const { name, url } = newPostgresDatabase(server);
        return {
          flags(through) {
            const proxied = new URL(url);
            if (through) proxied.port = String(through.port);
            return [`--postgres-url=${proxied.href}`];
          },
          async imageRow(key) {
            const sql = `SELECT encode(value, 'hex'), mod_revision FROM plinth_image
              WHERE keyspace = 'default' AND key = convert_to('${key}', 'UTF8')`;
            const [value, modRevision] = server.query(sql, name).split('|') as [string, string | undefined];
            return modRevision === undefined
              ? undefined
              : { value: Buffer.from(value, 'hex'), modRevision: Number(modRevision) };
          },
        };
      },
      proxy: () => TcpProxy.start(`127.0.0.1:${server.port}`),
      close: () => server.close(),
    };
  },
};

const spanner: SharedBackend = {
  name: 'spanner',
  without: withoutSpanner(),
  async start() {
    const emulator = await startSpannerEmulator();
    return {
      newDatabase() {
        const options = emulator.newDatabase();
        return {
          flags: (through) =>
            flagsOf(through ? new Map([...options, ['spanner-emulator-host', through.endpoint]]) : options),
          imageRow: (key) => spannerRow(options, key),
        };
      },
      proxy: () => TcpProxy.start(emulator.endpoint),
      close: () => emulator.close(),
    };
  },
};

async function spannerRow(options: ReadonlyMap<string, string | boolean>, key: string): Promise<ImageRow | undefined> {
  const option = (name: string): string => String(options.get(`spanner-${name}`));
  const [servicePath, port] = option('emulator-host').split(':') as [string, string];
  // Only the generated client: the whole package keeps the process alive.
  const { SpannerClient } = await import('@google-cloud/spanner/build/src/v1/index.js');
  const client = new SpannerClient({
    servicePath,
    port: Number(port),
    sslCreds: credentials.createInsecure(),
    projectId: option('project'),
  });
  try {
    const database = `projects/${option('project')}/instances/${option('instance')}/databases/${option('database')}`;
    const [{ name }] = await client.createSession({ database });
    const sql = `SELECT TO_BASE64(value), mod_revision FROM plinth_image
      WHERE keyspace = 'default' AND key = CAST('${key}' AS BYTES)`;
    const [{ rows }] = await client.executeSql({ session: name as string, sql });
    const [value, modRevision] = rows?.[0]?.values ?? [];
    if (value === undefined) return undefined;
    const bytes = Buffer.from(value.stringValue as string, 'base64');
    return { value: bytes, modRevision: Number(modRevision?.stringValue) };
  } finally {
    await client.close();
  }
}

export const sharedBackends: readonly SharedBackend[] = [postgres, spanner];
