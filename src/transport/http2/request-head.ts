/** The header fields of a request, checked as RFC 9113, 8.2 and 8.3, demand. */
import { entryBytes } from '../hpack/dynamic-table.ts';

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Names and values of the other fields in turn, as they came. */
  readonly fields: readonly string[];
  /** What the client announced of the body, where it did (8.1.1). */
  readonly contentLength: number | undefined;
  /** What it holds in memory, measured as 6.5.2 does. */
  readonly bytes: number;
  /** There were more fields than `headerListBytesMax` allows: some are missing. */
  readonly tooLarge: boolean;
  /** For whoever serves the request: what it has made of this head, which may be that of many requests. */
  route?: unknown;
}

/** Field names are tokens in lower case (8.2.1; RFC 9110, 5.6.2). */
const fieldName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** No NUL, CR or LF anywhere, no space at either end (8.2.1). */
const forbiddenInValue = /[\0\r\n]|^[ \t]|[ \t]$/;
/** Fields about one connection, which HTTP/2 does not have (8.2.2). */
const connectionFields = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade']);
const pseudoFields = new Set([':method', ':scheme', ':path', ':authority']);

export function isFieldValue(text: string): boolean {
  return !forbiddenInValue.test(text);
}

/** undefined: malformed (8.1.1), which is a PROTOCOL_ERROR of the stream. `fields`: names and values in turn. */
export function requestHead(fields: readonly string[], tooLarge: boolean): RequestHead | undefined {
  const pseudo = new Map<string, string>();
  const regular: string[] = [];
  let contentLength: number | undefined;
  let bytes = 0;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    const value = fields[i + 1]!;
    bytes += entryBytes(name, value);
    if (!isFieldValue(value)) return undefined;
    if (name.startsWith(':')) {
      // Only known ones, once, and before all others (8.3).
      if (!pseudoFields.has(name) || pseudo.has(name) || regular.length > 0) return undefined;
      pseudo.set(name, value);
      continue;
    }
    if (!isRegular(name, value)) return undefined;
    if (name === 'content-length') {
      if (!/^\d{1,15}$/.test(value)) return undefined;
      // Several must agree (RFC 9110, 8.6).
      if (contentLength !== undefined && contentLength !== Number(value)) return undefined;
      contentLength = Number(value);
    }
    regular.push(name, value);
  }
  const method = pseudo.get(':method');
  const path = pseudo.get(':path') ?? '';
  // All requests but CONNECT have these three, and a path is not empty (8.3.1). CONNECT is nothing that is served here.
  const complete = method !== undefined && path !== '' && pseudo.has(':scheme');
  if (!complete && !tooLarge) return undefined;
  return { method: method ?? '', path, fields: regular, contentLength, bytes, tooLarge };
}

/** Trailers have no pseudo fields (8.1). */
export function areTrailers(fields: readonly string[]): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    if (!isRegular(fields[i]!, fields[i + 1]!) || !isFieldValue(fields[i + 1]!)) return false;
  }
  return true;
}

function isRegular(name: string, value: string): boolean {
  return fieldName.test(name) && !connectionFields.has(name) && (name !== 'te' || value === 'trailers');
}
