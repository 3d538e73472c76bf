/**
 * Everything that a client can have written, as plain data: so that one replica can ask another to write it, and can work
 * out later what the answer was. Evaluating a command on the same state gives the same answer everywhere.
 */
import type { Draft } from './draft.ts';
import { StoreError } from './errors.ts';
import { evaluateDeleteRange, evaluatePut, evaluateTxn, putBytes } from './evaluate.ts';
import { needsRenewal } from './leases.ts';
import type {
  DeleteRangeRequest,
  DeleteRangeResult,
  PutRequest,
  PutResult,
  TxnRequest,
  TxnResult,
} from './requests.ts';

export interface CompactCommand {
  readonly kind: 'compact';
  readonly revision: number;
}

export interface LeaseGrantCommand {
  readonly kind: 'leaseGrant';
  readonly id: bigint;
  readonly ttlSeconds: number;
}

export interface LeaseRevokeCommand {
  readonly kind: 'leaseRevoke';
  readonly id: bigint;
}

/** Brings the renewal to the log, unless one is there that is young enough. */
export interface LeaseKeepAliveCommand {
  readonly kind: 'leaseKeepAlive';
  readonly id: bigint;
}

export interface AlarmCommand {
  readonly kind: 'alarm';
  readonly memberId: bigint;
  readonly alarm: number;
  readonly active: boolean;
}

/** See forwarder.ts. Doing it twice is the same as doing it once. */
export interface EpochCommand {
  readonly kind: 'epoch';
  readonly replica: bigint;
  readonly epoch: number;
}

export type Command =
  | PutRequest
  | DeleteRangeRequest
  | TxnRequest
  | CompactCommand
  | LeaseGrantCommand
  | LeaseRevokeCommand
  | LeaseKeepAliveCommand
  | AlarmCommand
  | EpochCommand;

export type CommandResult = PutResult | DeleteRangeResult | TxnResult | undefined;

export type ResultOf<C extends Command> = C extends PutRequest
  ? PutResult
  : C extends DeleteRangeRequest
    ? DeleteRangeResult
    : C extends TxnRequest
      ? TxnResult
      : undefined;

/** Throws StoreError where the state is against it; the draft is to be taken back then. */
export function evaluateCommand(draft: Draft, command: Command, nowMs: number): CommandResult {
  switch (command.kind) {
    case 'put':
      return evaluatePut(draft, command);
    case 'deleteRange':
      return evaluateDeleteRange(draft, command);
    case 'txn':
      return evaluateTxn(draft, command);
    case 'compact':
      if (command.revision <= draft.compactedRevision) throw new StoreError('Compacted');
      if (command.revision > draft.baseRevision) throw new StoreError('FutureRevision');
      draft.compact(command.revision);
      return undefined;
    case 'leaseGrant':
      draft.grantLease(command.id, command.ttlSeconds);
      return undefined;
    case 'leaseRevoke':
      draft.revokeLease(command.id);
      return undefined;
    case 'leaseKeepAlive': {
      const known = draft.state.leases.get(command.id);
      if (known !== undefined && draft.hasLease(command.id) && needsRenewal(known, nowMs)) {
        draft.record({ kind: 'leaseKeepAlive', id: command.id });
      }
      return undefined;
    }
    case 'alarm': {
      const { memberId, alarm, active } = command;
      if (draft.state.alarms.has(`${memberId}/${alarm}`) !== active) {
        draft.record({ kind: 'alarm', memberId, alarm, active });
      }
      return undefined;
    }
    case 'epoch':
      if ((draft.state.epochs.get(command.replica) ?? 0) < command.epoch) draft.record(command);
  }
  return undefined;
}

/** What a command with no keys or values takes, roughly. */
const recordBytes = 64;

/** About what a command adds to its batch. */
export function commandBytes(command: Command): number {
  switch (command.kind) {
    case 'put':
      return putBytes(command);
    case 'txn':
      return putBytes(command) + recordBytes;
    case 'deleteRange':
      return recordBytes + command.key.length;
    default:
      return recordBytes;
  }
}
