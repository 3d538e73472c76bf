import { AlarmType } from '../mvcc/alarms.ts';
import type { Store } from '../mvcc/store.ts';
import { rpcError } from './errors.ts';

/** While the CORRUPT alarm is on, etcd refuses everything that would change keys or leases; reads go on. */
export function checkNotCorrupt(store: Store): void {
  if (store.alarms.list().some(({ alarm }) => alarm === AlarmType.CORRUPT)) throw rpcError('Corrupt');
}
