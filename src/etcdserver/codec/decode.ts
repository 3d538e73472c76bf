import { MalformedMessage } from '../../proto/wire.ts';

/** Decodes by generated code, whose complaints about malformed bytes (all it ever throws) become ours. */
export function decodeWith<T>(type: { decode(bytes: Uint8Array): T }, bytes: Uint8Array): T {
  try {
    return type.decode(bytes);
  } catch {
    throw new MalformedMessage();
  }
}
