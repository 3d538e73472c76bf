/**
 * grpc.testing.TestService, which the interoperability clients of all gRPC implementations talk to, as methods of ours. What it
 * has to do is in gRPC's doc/interop-test-descriptions.md.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { type Call, Code, type Method, RpcError, type ServerStream } from '../../../src/transport/rpc.ts';

const proto = protobuf.loadSync(path.join(path.dirname(fileURLToPath(import.meta.url)), 'testing.proto'));

interface Payload {
  readonly type: number;
  readonly body: Uint8Array;
}

interface EchoStatus {
  readonly code: number;
  readonly message: string;
}

export interface SimpleRequest {
  readonly responseSize: number;
  readonly payload: Payload | null;
  readonly responseStatus: EchoStatus | null;
  readonly fillServerId: boolean;
}

export interface SimpleResponse {
  readonly payload: Payload;
  readonly serverId: string;
}

export interface StreamingInputCallRequest {
  readonly payload: Payload | null;
}

export interface StreamingInputCallResponse {
  readonly aggregatedPayloadSize: number;
}

export interface StreamingOutputCallRequest {
  readonly responseParameters: readonly { readonly size: number; readonly intervalUs: number }[];
  readonly payload: Payload | null;
  readonly responseStatus: EchoStatus | null;
}

export interface StreamingOutputCallResponse {
  readonly payload: Payload;
}

export interface Codec<T> {
  encode(message: Partial<T>): Buffer;
  decode(bytes: Uint8Array): T;
}

function codec<T>(name: string): Codec<T> {
  const type = proto.lookupType(`grpc.testing.${name}`);
  return {
    encode: (message) => Buffer.from(type.encode(message).finish()),
    decode: (bytes) => type.decode(bytes) as unknown as T,
  };
}

export const simpleRequest = codec<SimpleRequest>('SimpleRequest');
export const simpleResponse = codec<SimpleResponse>('SimpleResponse');
export const streamingInputCallRequest = codec<StreamingInputCallRequest>('StreamingInputCallRequest');
export const streamingInputCallResponse = codec<StreamingInputCallResponse>('StreamingInputCallResponse');
export const streamingOutputCallRequest = codec<StreamingOutputCallRequest>('StreamingOutputCallRequest');
export const streamingOutputCallResponse = codec<StreamingOutputCallResponse>('StreamingOutputCallResponse');

const compressable = 0;
const initialKey = 'x-grpc-test-echo-initial';
const trailingKey = 'x-grpc-test-echo-trailing-bin';

/** The same in every answer: a client that reaches another server notices. */
const serverId = `plinth-${process.pid}`;

/** UnimplementedCall is not among them, and must not be. */
export const testService: ReadonlyMap<string, Method> = new Map<string, Method>([
  ['/grpc.testing.TestService/EmptyCall', { kind: 'unary', handle: () => new Uint8Array(0) }],
  ['/grpc.testing.TestService/UnaryCall', { kind: 'unary', handle: unaryCall }],
  ['/grpc.testing.TestService/StreamingOutputCall', { kind: 'server-stream', handle: streamingOutputCall }],
  ['/grpc.testing.TestService/StreamingInputCall', { kind: 'bidi', handle: streamingInputCall }],
  ['/grpc.testing.TestService/FullDuplexCall', { kind: 'bidi', handle: fullDuplexCall }],
  ['/grpc.testing.TestService/HalfDuplexCall', { kind: 'bidi', handle: halfDuplexCall }],
]);

function unaryCall(bytes: Uint8Array, call: Call): Buffer {
  const request = simpleRequest.decode(bytes);
  echoMetadata(call);
  echoStatus(request.responseStatus);
  const id = request.fillServerId ? { serverId } : {};
  return simpleResponse.encode({ payload: payload(request.responseSize), ...id });
}

async function streamingOutputCall(stream: ServerStream, call: Call): Promise<void> {
  const request = await stream.read();
  if (request) await answer(streamingOutputCallRequest.decode(request), stream, call);
}

async function streamingInputCall(stream: ServerStream, call: Call): Promise<void> {
  let aggregatedPayloadSize = 0;
  for (let bytes = await stream.read(); bytes; bytes = await stream.read()) {
    aggregatedPayloadSize += streamingInputCallRequest.decode(bytes).payload?.body.length ?? 0;
  }
  if (!call.signal.aborted) stream.write(streamingInputCallResponse.encode({ aggregatedPayloadSize }));
}

async function fullDuplexCall(stream: ServerStream, call: Call): Promise<void> {
  echoMetadata(call);
  for (let bytes = await stream.read(); bytes; bytes = await stream.read()) {
    await answer(streamingOutputCallRequest.decode(bytes), stream, call);
  }
}

async function halfDuplexCall(stream: ServerStream, call: Call): Promise<void> {
  const requests: StreamingOutputCallRequest[] = [];
  for (let bytes = await stream.read(); bytes; bytes = await stream.read()) {
    requests.push(streamingOutputCallRequest.decode(bytes));
  }
  for (const request of requests) await answer(request, stream, call);
}

async function answer(request: StreamingOutputCallRequest, stream: ServerStream, call: Call): Promise<void> {
  echoStatus(request.responseStatus);
  for (const { size, intervalUs } of request.responseParameters) {
    if (intervalUs > 0) await new Promise((resolve) => setTimeout(resolve, intervalUs / 1000));
    if (call.signal.aborted) return;
    if (!stream.write(streamingOutputCallResponse.encode({ payload: payload(size) }))) await stream.drained();
  }
}

function payload(size: number): Payload {
  if (size < 0) throw new RpcError(Code.INVALID_ARGUMENT, `a payload of ${size} bytes`);
  return { type: compressable, body: new Uint8Array(size) };
}

function echoMetadata(call: Call): void {
  for (const [key, value] of call.allMetadata()) {
    if (key === initialKey) call.addInitialMetadata(key, value);
    if (key === trailingKey) call.addTrailingMetadata(key, value);
  }
}

function echoStatus(status: EchoStatus | null): void {
  if (status !== null && status.code !== Code.OK) throw new RpcError(status.code as Code, status.message);
}
