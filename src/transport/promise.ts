/** A promise, and what settles it. */
export interface PromiseWithResolve {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

export function promiseWithResolve(): PromiseWithResolve {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
