/** What is counted for one gRPC method: plain numbers, since this is the hot path; metrics.ts reads them when scraped. */
export class MethodCounters {
  started = 0;
  messagesReceived = 0;
  messagesSent = 0;
  bytesReceived = 0;
  bytesSent = 0;
  /** By status code, 0 to 16. */
  readonly handled: number[] = Array.from({ length: 17 }, () => 0);
}
