/**
 * An HTTP request that came by HTTP/2, as clients send it that agree on HTTP/2 in the TLS handshake. It gets the answer that it would
 * get by HTTP/1.1, when it is complete. What it says is thrown away: no route has a use for it.
 */
import type { Backlog } from '../backlog.ts';
import { encodeHeaders, type HeaderField } from '../hpack/encoder.ts';
import type { Connection } from '../http2/connection.ts';
import { noTrailers } from '../http2/frame-writer.ts';
import type { RequestHead } from '../http2/request-head.ts';
import { Stream } from '../http2/stream.ts';
import type { HttpAnswer, HttpResponder } from './routes.ts';

/** What it shares with the other requests of its connection. */
export interface HttpCalls {
  readonly backlog: Backlog;
  /** Handlers that run. */
  running: number;
}

export class HttpCall extends Stream {
  readonly #head: RequestHead;
  readonly #respond: HttpResponder;
  readonly #calls: HttpCalls;
  #unsentBytes = 0;
  readonly #startInTurn = (): void => void this.#run();

  constructor(connection: Connection, id: number, head: RequestHead, respond: HttpResponder, calls: HttpCalls) {
    super(connection, id, head);
    this.#head = head;
    this.#respond = respond;
    this.#calls = calls;
  }

  override start(): void {}

  override onData(_bytes: Buffer, start: number, end: number): void {
    this.connection.credit(this, end - start);
  }

  override onRemoteClosed(): void {
    this.#calls.backlog.admit(this.#startInTurn);
  }

  async #run(): Promise<void> {
    const { method, path } = this.#head;
    this.#calls.running++;
    const answer = await this.#respond(method, path);
    this.#calls.running--;
    if (!this.localClosed) this.#send(method, answer);
  }

  #send(method: string, { status, headers, body }: HttpAnswer): void {
    const fields = Object.entries(headers).map(([name, value]): HeaderField => [name, String(value)]);
    this.connection.writeHeaders(
      this,
      encodeHeaders([[':status', String(status)], ...fields, ['date', new Date().toUTCString()]]),
    );
    const bytes = method === 'HEAD' ? 0 : body.length;
    this.#unsentBytes = bytes;
    this.#calls.backlog.add(bytes);
    this.sendData([body], bytes);
    this.sendTrailers(noTrailers);
  }

  override onSent(bytes: number): void {
    this.#unsentBytes -= bytes;
    this.#calls.backlog.remove(bytes);
  }

  override onBroken(): void {}

  override onClosed(): void {
    this.#calls.backlog.forget(this.#startInTurn);
    if (this.#unsentBytes > 0) this.onSent(this.#unsentBytes);
  }
}
