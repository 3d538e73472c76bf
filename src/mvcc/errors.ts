/**
 * Why the store refuses a request. The texts and gRPC codes that clients see are in etcdserver/errors.ts, one row per reason;
 * the two are checked against each other by the type system.
 */
export type Reason =
  | 'EmptyKey'
  | 'KeyNotFound'
  | 'ValueProvided'
  | 'LeaseProvided'
  | 'TooManyOps'
  | 'DuplicateKey'
  | 'InvalidSortOption'
  | 'RequestTooLarge'
  | 'Compacted'
  | 'FutureRevision'
  | 'NoSpace'
  | 'TooManyRequests'
  | 'LeaseNotFound'
  | 'LeaseExists'
  | 'LeaseTtlTooLarge'
  | 'Stopped'
  | 'Timeout';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly reason: Reason;

  constructor(reason: Reason) {
    super(reason);
    this.reason = reason;
  }
}

/**
 * The storage behind cannot answer now. For a write: it was certainly not stored, or (`unknown`) nobody can tell.
 * Clients get UNAVAILABLE with this message.
 */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  readonly unknown: boolean;

  constructor(message: string, unknown: boolean, options?: ErrorOptions) {
    super(message, options);
    this.unknown = unknown;
  }
}
