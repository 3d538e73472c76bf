/** The Maintenance service, without Snapshot. */
import { AlarmType } from '../mvcc/alarms.ts';
import type { Store } from '../mvcc/store.ts';
import { etcdserverpb as pb } from '../proto/generated/etcd.js';
import { long, safeNumber, unsigned } from '../proto/int64.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { isMember } from './cluster.ts';
import { decodeWith } from './codec/decode.ts';
import { rpcError } from './errors.ts';
import { headerMessage, raftTerm } from './header.ts';
import { unary } from './method.ts';
import type { ServiceOptions } from './options.ts';
import { clusterVersion, serverVersion, storageVersion } from './version.ts';

export function statusMethod(store: Store, options: ServiceOptions): UnaryMethod {
  return unary(async (bytes) => {
    decodeWith(pb.StatusRequest, bytes);
    const { total, inUse } = await store.size();
    return pb.StatusResponse.encode({
      header: headerMessage(store, store.revision),
      version: serverVersion,
      dbSize: total,
      dbSizeInUse: inUse,
      // -1: switched off, as etcd says it.
      dbSizeQuota: options.quotaBytes === 0 ? -1 : options.quotaBytes,
      leader: long(options.leader()),
      raftTerm,
      raftIndex: store.slot,
      raftAppliedIndex: store.slot,
      errors: store.alarms.list().map(alarmText),
      storageVersion,
      downgradeInfo: {},
    }).finish();
  });
}

const alarmNames = new Map<number, string>(Object.entries(AlarmType).map(([name, number]) => [number, name]));

function alarmText({ memberId, alarm }: { memberId: bigint; alarm: number }): string {
  const name = `alarm:${alarmNames.get(alarm) ?? alarm}`;
  return memberId === 0n ? name : `memberID:${memberId} ${name}`;
}

const alarmActions = { GET: 0, ACTIVATE: 1, DEACTIVATE: 2 } as const;

/** Answers with the alarms asked for, or those that the action concerned. An unknown action would end an etcd: refused here. */
export function alarmMethod(store: Store): UnaryMethod {
  return unary(async (bytes) => {
    const request = decodeWith(pb.AlarmRequest, bytes);
    const { action, alarm } = request as { action: number; alarm: number };
    const memberId = unsigned(request.memberID);
    const known = alarm === 0 || alarmNames.has(alarm);
    await store.barrier();
    const raised = store.alarms.list();
    const one = raised.filter((entry) => entry.alarm === alarm && entry.memberId === memberId);
    if (action === alarmActions.GET) {
      // etcd ignores the member here.
      return answer(alarm === 0 ? raised : raised.filter((entry) => entry.alarm === alarm));
    }
    if (!known || (action !== alarmActions.ACTIVATE && action !== alarmActions.DEACTIVATE))
      throw rpcError('UnknownAlarm');
    if (action === alarmActions.DEACTIVATE) {
      if (one.length > 0) await store.alarms.deactivate(memberId, alarm);
      return answer(one);
    }
    if (alarm === 0) return answer([]);
    if (one.length === 0) await store.alarms.activate(memberId, alarm);
    return answer([{ memberId, alarm }]);
  });

  function answer(alarms: readonly { memberId: bigint; alarm: number }[]): Uint8Array {
    return pb.AlarmResponse.encode({
      header: headerMessage(store, store.revision),
      alarms: alarms.map(({ memberId, alarm }) => ({ memberID: long(memberId), alarm })),
    }).finish();
  }
}

export function defragmentMethod(store: Store): UnaryMethod {
  return unary(async (bytes) => {
    decodeWith(pb.DefragmentRequest, bytes);
    await store.defragment();
    return pb.DefragmentResponse.encode({}).finish();
  });
}

export function hashMethod(store: Store): UnaryMethod {
  return unary(async (bytes) => {
    decodeWith(pb.HashRequest, bytes);
    const hash = await store.hash();
    return pb.HashResponse.encode({ header: headerMessage(store, store.revision), hash }).finish();
  });
}

export function hashKvMethod(store: Store): UnaryMethod {
  return unary(async (bytes) => {
    const { revision } = decodeWith(pb.HashKVRequest, bytes);
    await store.barrier();
    const { hash, hashRevision, compactedRevision } = await store.hashKv(Math.max(0, safeNumber(revision)));
    return pb.HashKVResponse.encode({
      header: headerMessage(store, store.revision),
      hash,
      compactRevision: compactedRevision,
      hashRevision,
    }).finish();
  });
}

/** Who writes is a matter of load here: nobody is made leader, and to name the one that writes is a success as in etcd. */
export function moveLeaderMethod(options: ServiceOptions): UnaryMethod {
  return unary(async (bytes) => {
    const target = unsigned(decodeWith(pb.MoveLeaderRequest, bytes).targetID);
    if (!isMember(await options.members(), target)) throw rpcError('BadLeaderTransferee');
    if (target !== options.leader()) throw rpcError('NotCapable');
    return pb.MoveLeaderResponse.encode({}).finish();
  });
}

const downgradeActions = { VALIDATE: 0, ENABLE: 1, CANCEL: 2 } as const;

/** One minor version back is a valid target, as for an etcd of this version; but there is nothing here that could be downgraded. */
export function downgradeMethod(store: Store): UnaryMethod {
  return unary((bytes) => {
    const request = decodeWith(pb.DowngradeRequest, bytes);
    const action: number = request.action;
    if (action === downgradeActions.VALIDATE || action === downgradeActions.ENABLE) {
      checkDowngradeTarget(request.version);
      if (action === downgradeActions.ENABLE) throw rpcError('NotCapable');
    } else if (action !== downgradeActions.CANCEL) throw rpcError('UnknownMethod');
    const header = headerMessage(store, store.revision);
    return pb.DowngradeResponse.encode({ header, version: clusterVersion }).finish();
  });
}

function checkDowngradeTarget(version: string): void {
  const target = /^(\d+)\.(\d+)(?:\.\d+([-+].*)?)?$/.exec(version);
  if (target === null) throw rpcError('WrongDowngradeVersionFormat');
  const [major, minor] = clusterVersion.split('.').map(Number) as [number, number];
  if (Number(target[1]) !== major || Number(target[2]) !== minor - 1) throw rpcError('InvalidDowngradeTargetVersion');
}
