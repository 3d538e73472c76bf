import { MalformedMessage } from '../../proto/wire.ts';

/** Decodes by generated code, whose complaints about malformed bytes (all it ever throws) become ours. */
export function decodeWith<T>(type: { decode(bytes: Uint8Array): T }, bytes: Uint8Array): T {
  try {
    return type.decode(bytes);
  } catch (error) {
    const text = (error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
    throw text ? new MalformedMessage('string field contains invalid UTF-8') : new MalformedMessage();
  }
}
