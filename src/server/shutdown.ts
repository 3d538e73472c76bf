/** What makes the process end: signals, and errors after which a database must not go on. */
import type { Logger } from '../observe/log.ts';

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;
type Signal = keyof typeof signalNumbers;

/** Resolves with the first SIGTERM or SIGINT. A second one ends the process at once, with 128 plus its number. */
export function firstSignal(log: Logger): Promise<Signal> {
  return new Promise((resolve) => {
    let received = false;
    for (const signal of Object.keys(signalNumbers) as Signal[]) {
      process.on(signal, () => {
        if (received) {
          log.warn({ signal }, 'second signal, ending at once');
          process.exit(128 + signalNumbers[signal]);
        }
        received = true;
        resolve(signal);
      });
    }
  });
}

/** The state of the process is unknown: it ends, and what was acknowledged is in the log. */
export function die(log: Logger, error: unknown): never {
  log.error({ error }, 'unexpected error, the process ends');
  process.exit(1);
}

/** Errors that nobody handled end the process too. */
export function dieOnUnhandledErrors(log: Logger): void {
  process.on('uncaughtException', (error) => die(log, error));
  process.on('unhandledRejection', (reason) => die(log, reason));
}
