import { Fenced } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';

export interface Failure {
  readonly kind: 'failed' | 'unknown' | 'fenced';
  readonly message: string;
}

/** SQLite's primary result codes, and what an operator can do about them. */
const advice = new Map([
  [5, 'another program holds a lock on it'],
  [8, 'check its owner and mode'],
  [10, 'check the disk, its free space and the system log'],
  [11, 'the file is damaged: restore a backup'],
  [13, 'free space on the disk'],
  [14, 'check that the directory exists and who owns it'],
  [26, 'the file is not an SQLite database'],
]);
const ioError = 10;

const messageOf = (error: unknown, file: string, hint: string | undefined): string =>
  `sqlite: ${(error as Error).message} (${file}${hint ? `: ${hint}` : ''})`;

/** SQLite's primary result code; 0: the error is not SQLite's. */
const errorCodeOf = (error: unknown): number => ((error as { errcode?: number }).errcode ?? 0) & 0xff;

/** What a thread says of an error: for operators, and whether a write may be there all the same. */
export function failureOf(error: unknown, file: string): Failure {
  if (error instanceof Fenced) return { kind: 'fenced', message: error.message };
  if (error instanceof BackendError) return { kind: error.outcome, message: error.message };
  const code = errorCodeOf(error);
  return {
    // After an I/O error the commit may be in the write-ahead log all the same, and be found there by the next start. Every
    // other error leaves nothing behind.
    kind: code === ioError ? 'unknown' : 'failed',
    message: messageOf(error, file, advice.get(code)),
  };
}

/** A write to the journal that the operating system refused, or took in part: the record may be there all the same. */
export const journalFailureOf = (error: unknown, journal: string): BackendError =>
  new BackendError('unknown', messageOf(error, journal, advice.get(ioError)));
