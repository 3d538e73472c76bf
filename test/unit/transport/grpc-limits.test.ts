import net from 'node:net';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { Code, RpcError } from '../../../src/transport/rpc.ts';
import { bidi, gate, identity, statusOf, unary, until, ways } from './grpc-support.ts';

for (const { name, start } of ways) {
  t.test(name, async (t) => {
    t.test('cancellation by the client: signal, read, drained and later writes', async (t) => {
      const over = gate();
      const seen: Record<string, unknown> = {};
      const {
        bidi: open,
        counters,
        server,
      } = await start(t, {
        '/test.Watch/Stream': bidi(async (stream, call) => {
          stream.write(Buffer.from('hello'));
          const signal = call.signal;
          seen.first = await stream.read();
          // Node's client ends its side first; the two frames may come in two pieces.
          if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
          seen.aborted = signal.aborted;
          seen.reason = (signal.reason as RpcError).code;
          seen.write = stream.write(Buffer.from('nobody'));
          await stream.drained();
          seen.again = await stream.read();
          over.open();
        }),
      });
      const stream = open('/test.Watch/Stream');
      const status = statusOf(stream);
      stream.once('data', () => stream.cancel());
      t.match(await status, { code: Code.CANCELLED });
      await over.passed;
      t.strictSame(seen, { first: undefined, aborted: true, reason: Code.CANCELLED, write: true, again: undefined });
      await until(() => server.activeCalls === 0);
      t.equal(counters.get('/test.Watch/Stream')?.handled[Code.CANCELLED], 1);
    });

    t.test('a broken connection cancels, also a signal that is asked for later', async (t) => {
      const may = gate();
      const over = gate();
      let aborted: boolean | undefined;
      const { url, credentials } = await start(t, {
        '/test.Watch/Stream': bidi(async (stream, call) => {
          stream.write(Buffer.from('hello'));
          await may.passed;
          await stream.read();
          aborted = call.signal.aborted;
          over.open();
        }),
      });
      const sockets: net.Socket[] = [];
      const proxy = net.createServer((socket) => {
        const [host, port] = url.split(':');
        const upstream = net.connect(Number(port), host);
        sockets.push(upstream, socket);
        for (const end of [socket, upstream]) end.on('error', () => {});
        socket.pipe(upstream).pipe(socket);
      });
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      const client = new grpc.Client(`127.0.0.1:${(proxy.address() as net.AddressInfo).port}`, credentials);
      const stream = client.makeBidiStreamRequest('/test.Watch/Stream', identity, identity);
      const status = statusOf(stream);
      await new Promise((resolve) => stream.once('data', resolve));
      for (const socket of sockets) socket.resetAndDestroy();
      may.open();
      await over.passed;
      t.equal(aborted, true);
      t.match(await status, { code: Code.UNAVAILABLE });
      client.close();
      proxy.close();
    });

    t.test('the deadline is answered by the transport and aborts the handler', async (t) => {
      const over = gate();
      let reason: unknown;
      const { counters, connectHttp2 } = await start(t, {
        '/test.Slow/Unary': unary(async (request, call) => {
          await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
          reason = call.signal.reason;
          over.open();
          return request;
        }),
      });
      // A client that would end the call itself might be sooner.
      const session = connectHttp2();
      t.teardown(() => session.destroy());
      const call = session.request({
        ':method': 'POST',
        ':path': '/test.Slow/Unary',
        'content-type': 'application/grpc',
        'grpc-timeout': '50m',
      });
      call.end(Buffer.alloc(5));
      const headers = await new Promise((resolve) => call.once('response', resolve).resume());
      t.match(headers, { 'grpc-status': String(Code.DEADLINE_EXCEEDED) });
      await over.passed;
      t.match(reason, { code: Code.DEADLINE_EXCEEDED });
      await until(() => counters.get('/test.Slow/Unary')?.handled[Code.DEADLINE_EXCEEDED] === 1);
    });

    t.test('stop: streams end with the reason, unary calls finish, the connection goes away', async (t) => {
      const started = gate();
      const may = gate();
      const aborted: unknown[] = [];
      const {
        server,
        unary: call,
        bidi: open,
      } = await start(t, {
        '/test.Slow/Unary': unary(async () => {
          started.open();
          await may.passed;
          return Buffer.from('finished');
        }),
        '/test.Watch/Stream': bidi(async (stream, call) => {
          stream.write(Buffer.from('hello'));
          call.signal.addEventListener('abort', () => aborted.push(call.signal.reason));
          await stream.read();
        }),
      });
      const stream = open('/test.Watch/Stream');
      const status = statusOf(stream);
      await new Promise((resolve) => stream.once('data', resolve));
      const unaryAnswer = call('/test.Slow/Unary', new Uint8Array());
      await started.passed;
      const reason = new RpcError(Code.UNAVAILABLE, 'etcdserver: server stopped');
      const stopped = server.stop(reason, 60_000);
      t.match(await status, { code: Code.UNAVAILABLE, details: 'etcdserver: server stopped' });
      t.strictSame(aborted, [reason]);
      may.open();
      t.equal((await unaryAnswer).message?.toString(), 'finished');
      await stopped;
      t.equal(server.activeCalls, 0);
    });

    t.test('stop cuts what does not finish within the grace time', async (t) => {
      const started = gate();
      const { server, unary: call } = await start(t, {
        '/test.Slow/Unary': unary(() => {
          started.open();
          return new Promise(() => {});
        }),
      });
      const answer = call('/test.Slow/Unary', new Uint8Array());
      await started.passed;
      await server.stop(new RpcError(Code.UNAVAILABLE, 'stopped'), 20);
      t.not((await answer).code, 0);
    });

    t.test(
      'a client that does not read its replies gets no further calls started, and all when it reads',
      async (t) => {
        let started = 0;
        const { url, credentials } = await start(
          t,
          {
            '/test.Big/Unary': unary(() => {
              started++;
              return Buffer.alloc(64 * 1024);
            }),
          },
          { connectionBufferedBytesMax: 256 * 1024 },
        );
        // A pipe that can be shut between the server and the client.
        const pipes: { from: net.Socket; to: net.Socket }[] = [];
        const proxy = net.createServer((socket) => {
          const [host, port] = url.split(':');
          const upstream = net.connect(Number(port), host);
          pipes.push({ from: upstream, to: socket });
          for (const end of [socket, upstream]) end.on('error', () => {});
          socket.pipe(upstream);
          upstream.pipe(socket);
        });
        await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
        const client = new grpc.Client(`127.0.0.1:${(proxy.address() as net.AddressInfo).port}`, credentials);
        const call = (): Promise<number> =>
          new Promise((resolve) =>
            client.makeUnaryRequest('/test.Big/Unary', identity, identity, Buffer.alloc(0), (error, reply) =>
              resolve(error ? -1 : reply!.length),
            ),
          );
        t.equal(await call(), 64 * 1024);
        for (const { from } of pipes) {
          from.unpipe();
          from.pause();
        }
        const calls = Array.from({ length: 300 }, call);
        await until(() => started > 4);
        let before = 0;
        while (before !== started) {
          before = started;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        t.ok(started < 250, `${started} of 300 calls started while nothing was read`);
        for (const { from, to } of pipes) from.pipe(to);
        t.strictSame(new Set(await Promise.all(calls)), new Set([64 * 1024]));
        t.equal(started, 301);
        client.close();
        proxy.close();
      },
    );

    t.test('the receive windows are the ones asked for', async (t) => {
      const { connectHttp2 } = await start(
        t,
        { '/test.Echo/Echo': unary((request) => request) },
        { streamWindowBytes: 300_000, connectionWindowBytes: 500_000, concurrentStreamsMax: 77 },
      );
      const session = connectHttp2();
      await new Promise((resolve) => session.once('remoteSettings', resolve));
      t.match(session.remoteSettings, { initialWindowSize: 300_000, maxConcurrentStreams: 77 });
      await until(() => session.state.remoteWindowSize === 500_000);
      session.destroy();
    });
  });
}
