/** The token of the user whose name plinth was given; asked for when it is needed, and again when etcd no longer takes it. */
import protobuf from 'protobufjs/minimal.js';

export const authenticatePath = '/etcdserverpb.Auth/Authenticate';
/** What etcd says of a token that it does not know (any more). */
const refusals = ['etcdserver: invalid auth token', 'etcdserver: revision of auth store is old'];
/** Answers of an etcd whose authentication is off: calls need no token then. */
const isOff = /authentication is not enabled/;

export const isTokenRefused = (message: string): boolean => refusals.includes(message);

/** Sends an AuthenticateRequest. */
export type Authenticate = (request: Uint8Array) => Promise<Uint8Array>;

export class Token {
  readonly #request: Uint8Array;
  readonly #authenticate: Authenticate;
  #token: Promise<string | undefined> | undefined;
  /** What `#token` has resolved with. */
  #known: string | undefined;

  constructor(user: { readonly name: string; readonly password: string }, authenticate: Authenticate) {
    // AuthenticateRequest { string name = 1; string password = 2; }
    this.#request = protobuf.Writer.create().uint32(0x0a).string(user.name).uint32(0x12).string(user.password).finish();
    this.#authenticate = authenticate;
  }

  /** undefined: none is needed. Rejects with what etcd answers. */
  get(): Promise<string | undefined> {
    this.#token ??= this.#ask();
    return this.#token;
  }

  /** A call with this token was refused: `get` no longer answers with it. */
  forget(token: string): void {
    if (token !== this.#known) return;
    this.#known = undefined;
    this.#token = undefined;
  }

  async #ask(): Promise<string | undefined> {
    try {
      this.#known = tokenOf(await this.#authenticate(this.#request));
      return this.#known;
    } catch (error) {
      this.#token = undefined;
      if (isOff.test((error as Error).message)) return undefined;
      throw error;
    }
  }
}

/** AuthenticateResponse { ResponseHeader header = 1; string token = 2; } */
function tokenOf(response: Uint8Array): string {
  const reader = protobuf.Reader.create(response);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 0x12) return reader.string();
    reader.skipType(tag & 7);
  }
  return '';
}
