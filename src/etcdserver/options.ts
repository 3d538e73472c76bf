/** One server that serves this keyspace. */
export interface Member {
  readonly id: bigint;
  readonly name: string;
  /** Where clients can reach it: they replace their endpoints by these. */
  readonly clientUrls: readonly string[];
}

/** What the services have to know beyond the store. */
export interface ServiceOptions {
  /** The live ones, this one among them. */
  members(): Promise<readonly Member[]>;
  /** The member that writes now. */
  leader(): bigint;
  /** For MemberList only. Empty: there are no peers that talk etcd's peer protocol. */
  readonly peerUrls: readonly string[];
  /** --max-txn-ops */
  readonly txnOpsMax: number;
  /** --max-request-bytes */
  readonly requestBytesMax: number;
  /** --quota-backend-bytes in effect; 0: none. */
  readonly quotaBytes: number;
  readonly progressNotifyIntervalMs: number;
}
