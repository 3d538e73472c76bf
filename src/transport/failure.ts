/** What becomes of what a handler throws. */
import { Code, RpcError } from './rpc.ts';

/**
 * What the client is told. What is no RpcError is a bug of ours, which it learns nothing about: that goes to `report`, unless an
 * operation of ours was just `aborted` with its call.
 */
export function failureOf(error: unknown, aborted: boolean, report: (error: unknown) => void): RpcError {
  if (error instanceof RpcError) return error;
  if (!(aborted && error instanceof Error && error.name === 'AbortError')) report(error);
  return new RpcError(Code.INTERNAL, 'internal error');
}
