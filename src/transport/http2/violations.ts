/** What ends a connection because its client broke a rule (RFC 9113, 5.4.1). */
import { ConnectionError, ErrorCode } from './frame.ts';

export function violation(text: string): ConnectionError {
  return new ConnectionError(ErrorCode.PROTOCOL_ERROR, text);
}

export function wrongSize(type: string): ConnectionError {
  return new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `${type} of a wrong length`);
}

/** Allowed, but more of it than anybody needs. */
export function tooMuch(text: string): ConnectionError {
  return new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, text);
}

/** The length of the padding without the byte that says it (6.1). */
export function paddingOf(bytes: Buffer, start: number, end: number): number {
  const padding = start < end ? bytes[start]! : 0;
  if (start >= end || padding >= end - start) throw violation('padding that is longer than its frame');
  return padding;
}

/** The client has connected, and does not say by SETTINGS what it is (3.4). */
export function throwSettingsTimeout(): never {
  throw new ConnectionError(ErrorCode.SETTINGS_TIMEOUT, 'no SETTINGS');
}
