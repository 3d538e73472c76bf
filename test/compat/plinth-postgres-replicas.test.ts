import t from 'tap';
import { isMissing } from '../support/demand.ts';
import { newPostgresDatabase, startPostgres, withoutPostgres } from '../support/postgres.ts';
import { compat } from './suite/index.ts';
import { plinthOn } from './suite/target.ts';

t.setTimeout(1_190_000);
if (!isMissing(t, withoutPostgres())) {
  const server = await startPostgres();
  t.teardown(() => server.close());
  const database = () => [`--postgres-url=${newPostgresDatabase(server).url}`];
  await compat(t, plinthOn('postgres', database, 3));
}
