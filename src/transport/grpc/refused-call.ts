/**
 * A request that no handler sees. A gRPC call is answered as soon as it comes, since its client may wait for that before it says
 * more; other HTTP when it is complete. What it says is thrown away.
 */
import { encodeHeaders } from '../hpack/encoder.ts';
import type { Connection } from '../http2/connection.ts';
import type { RequestHead } from '../http2/request-head.ts';
import { Stream } from '../http2/stream.ts';
import { Code } from '../rpc.ts';
import type { GrpcRequest } from './request.ts';
import { trailers, trailersOnly } from './status.ts';

const texts: Readonly<Record<number, string>> = {
  405: 'gRPC requests are made with POST\n',
  415: 'this is a gRPC server: the content-type of a request is application/grpc\n',
};

export class RefusedCall extends Stream {
  readonly #request: GrpcRequest;

  constructor(connection: Connection, id: number, head: RequestHead, request: GrpcRequest) {
    super(connection, id, head);
    this.#request = request;
  }

  override start(): void {
    const { refusal } = this.#request;
    if (refusal !== undefined) this.sendTrailers(trailersOnly(refusal.code, refusal.text));
  }

  #answerHttp(status: number): void {
    const body = Buffer.from(texts[status]!);
    const fields = [
      [':status', String(status)],
      ['content-type', 'text/plain; charset=utf-8'],
    ] as const;
    this.connection.writeHeaders(this, encodeHeaders(fields));
    this.sendData([body], body.length);
    this.sendTrailers(trailers(Code.UNKNOWN, `HTTP status ${status}`));
  }

  override onData(_bytes: Buffer, start: number, end: number): void {
    this.connection.credit(this, end - start);
    this.connection.patience.idleData(end - start);
  }

  override onRemoteClosed(): void {
    const { httpStatus } = this.#request;
    if (httpStatus !== undefined) this.#answerHttp(httpStatus);
  }

  override onBroken(): void {}
  override onSent(): void {}
  override onClosed(): void {}
}
