/** What a handler sends beside its messages. */
import type * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { type Call, Code, RpcError } from '../../../src/transport/rpc.ts';
import { bidi, statusOf, unary, ways } from './grpc-support.ts';

interface Exchange {
  readonly code: number;
  readonly messages: number;
  readonly initial: unknown[];
  readonly trailing: unknown[];
}

/** One message to the server, and what comes back with the values of `x-one`, and of `x-two-bin` in the trailers. */
async function exchange(stream: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<Exchange> {
  let initial: unknown[] = [];
  let messages = 0;
  stream.on('metadata', (metadata: grpc.Metadata) => {
    initial = metadata.get('x-one');
  });
  stream.on('data', () => messages++);
  const status = statusOf(stream);
  stream.end(Buffer.from('request'));
  const { code, metadata } = await status;
  return { code, messages, initial, trailing: metadata.get('x-two-bin') };
}

/** Every value of a byte: whatever is lost or changed on the way is seen. */
const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

function add(call: Call): void {
  call.addInitialMetadata('x-one', 'first');
  call.addInitialMetadata('x-one', 'second');
  call.addTrailingMetadata('x-two-bin', bytes);
}

const both = { initial: ['first, second'], trailing: [bytes] };

for (const { name, start } of ways) {
  t.test(name, async (t) => {
    t.test('metadata goes before the first message and with the status', async (t) => {
      const { bidi: open } = await start(t, {
        '/test.Metadata/Unary': unary((request, call) => {
          add(call);
          return request;
        }),
        '/test.Metadata/Stream': bidi(async (stream, call) => {
          call.addInitialMetadata('x-one', 'first');
          call.addInitialMetadata('x-one', 'second');
          stream.write(Buffer.from('one'));
          stream.write(Buffer.from('two'));
          await stream.read();
          call.addTrailingMetadata('x-two-bin', bytes);
        }),
      });
      t.strictSame(await exchange(open('/test.Metadata/Unary')), { code: Code.OK, messages: 1, ...both });
      t.strictSame(await exchange(open('/test.Metadata/Stream')), { code: Code.OK, messages: 2, ...both });
    });

    t.test('an error has both, too', async (t) => {
      const { bidi: open } = await start(t, {
        '/test.Metadata/Unary': unary((_request, call) => {
          add(call);
          throw new RpcError(Code.ABORTED, 'no');
        }),
        '/test.Metadata/Stream': bidi(async (_stream, call) => {
          add(call);
          throw new RpcError(Code.ABORTED, 'no');
        }),
      });
      t.strictSame(await exchange(open('/test.Metadata/Unary')), { code: Code.ABORTED, messages: 0, ...both });
      t.strictSame(await exchange(open('/test.Metadata/Stream')), { code: Code.ABORTED, messages: 0, ...both });
    });

    t.test('initial metadata after the first message is a bug and is said to be one', async (t) => {
      const { bidi: open, internalErrors } = await start(t, {
        '/test.Metadata/Late': bidi(async (stream, call) => {
          stream.write(Buffer.from('one'));
          call.addInitialMetadata('x-one', 'late');
        }),
      });
      t.match(await exchange(open('/test.Metadata/Late')), { code: Code.INTERNAL, initial: [] });
      t.match(internalErrors, [/initial metadata after the first message/]);
    });
  });
}
