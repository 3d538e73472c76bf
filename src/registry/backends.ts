/** The choice of backends one program has. An instance: a main of its own may register others, and tests their fakes. */
import type { Backend, BuildContext, Storage } from './backend.ts';
import type { Flag, Options } from './flag.ts';
import type { Relay, RelayBackend } from './relay.ts';

const backendName = /^[a-z][a-z0-9]*$/;
const flagName = /^[a-z0-9-]+$/;
const keyspaceName = /^[A-Za-z0-9._-]{1,64}$/;

export class Backends {
  readonly #byName = new Map<string, Backend | RelayBackend>();

  /** Throws on a name or a flag that is taken or malformed: mistakes of the program, found at its first start. */
  register(backend: Backend | RelayBackend): void {
    const { name } = backend;
    if (!backendName.test(name)) throw new Error(`backend name ${JSON.stringify(name)}: lower-case letters and digits`);
    if (this.#byName.has(name)) throw new Error(`backend ${name} is already registered`);
    const taken = new Set(this.flags().map((flag) => flag.name));
    for (const flag of backend.flags) {
      if (!flag.name.startsWith(`${name}-`) || !flagName.test(flag.name)) {
        throw new Error(`backend ${name}: flag --${flag.name} must begin with --${name}-`);
      }
      if (taken.has(flag.name)) throw new Error(`backend ${name}: flag --${flag.name} is already declared`);
      taken.add(flag.name);
    }
    this.#byName.set(name, backend);
  }

  /** Throws an Error that lists the known names. */
  get(name: string): Backend | RelayBackend {
    const backend = this.#byName.get(name);
    if (!backend) throw new Error(`unknown storage backend ${JSON.stringify(name)}; known: ${this.names().join(', ')}`);
    return backend;
  }

  /** Sorted. */
  names(): string[] {
    return [...this.#byName.keys()].sort();
  }

  /** The flags of every backend, backends in the order of their names, so that help can show them all. */
  flags(): Flag[] {
    return this.names().flatMap((name) => [...this.get(name).flags]);
  }

  /** The problems that this one backend has with the options; the flags of the others are not looked at. */
  validate(name: string, options: Options): string[] {
    return this.get(name).validate(options);
  }

  /** Whether this backend passes calls on, in place of storing anything itself. */
  isRelay(name: string): boolean {
    return 'relay' in this.get(name);
  }

  async build(name: string, options: Options, context: BuildContext): Promise<Storage> {
    const backend = this.#checked(name, options, context);
    if ('relay' in backend) throw new Error(`${name} keeps no log of its own: it passes every call on`);
    return await backend.build(options, context);
  }

  async relay(name: string, options: Options, context: BuildContext): Promise<Relay> {
    const backend = this.#checked(name, options, context);
    if (!('relay' in backend)) throw new Error(`${name} does not pass calls on: it stores`);
    return await backend.relay(options, context);
  }

  #checked(name: string, options: Options, context: BuildContext): Backend | RelayBackend {
    const backend = this.get(name);
    const problems = backend.validate(options);
    if (!keyspaceName.test(context.keyspace)) {
      problems.push(`keyspace ${JSON.stringify(context.keyspace)}: 1 to 64 characters of [A-Za-z0-9._-]`);
    }
    if (problems.length > 0) throw new Error(problems.join('; '));
    return backend;
  }
}
