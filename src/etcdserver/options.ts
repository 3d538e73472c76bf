/** What the services have to know beyond the store. */
export interface ServiceOptions {
  /** --name */
  readonly memberName: string;
  /** Where clients can reach this member: they replace their endpoints by these. */
  readonly clientUrls: readonly string[];
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
