import t from 'tap';
import { postgres } from '../../src/backends/postgres/backend.ts';
import { isMissing } from '../support/demand.ts';
import { newPostgresDatabase, startPostgres, withoutPostgres } from '../support/postgres.ts';
import { contract } from './contract/suite.ts';

const without = withoutPostgres();
if (!isMissing(t, without)) {
  const server = await startPostgres();
  t.teardown(() => server.close());
  contract(
    async () => {
      const { name, url } = newPostgresDatabase(server);
      return {
        backend: postgres(),
        options: new Map([['postgres-url', url]]),
        remove: async () => void server.query(`DROP DATABASE ${name} WITH (FORCE)`),
      };
    },
    { otherProcesses: true, keyBytesMax: 1.5 * 1024 * 1024 },
  );
}
