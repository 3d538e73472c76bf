/** One connection from its preface to its end, and what must be left of it then: nothing. */
import assert from 'node:assert/strict';
import { MethodCounters } from '../../src/observe/method-counters.ts';
import { PlinthGrpcServer } from '../../src/transport/grpc/server.ts';
import type { GrpcServerOptions } from '../../src/transport/grpc-server.ts';
import { Code, RpcError } from '../../src/transport/rpc.ts';
import { MemorySocket } from '../support/memory-socket.ts';
import { Random } from '../support/random.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';
import { favourites } from './calls.ts';
import { Client, type Tally } from './client.ts';
import { bug, methodsFor, Turns } from './handlers.ts';
import { mutate } from './mutation.ts';
import { serialize } from './wire.ts';

/** How many of a client's frames are mutated. With none the server must do everything right. */
const mutationChances = [0, 0, 0.002, 0.002, 0.01, 0.01, 0.05, 0.3];
const framesMax = 2000;
const framesPerTurnMax = 24;
/**
 * Some clients ask for long header fields and read none of them until they have asked for all: flow control is for DATA only, so what
 * bounds this is that the server stops reading.
 */
const floodChance = 0.02;
const floodFrames = 5000;
const floodCallsMax = 1000;
/** Turns without a byte from the server, after which calls that have no end are held to hang: more than any handler or reader waits. */
const silentTurnsMax = 300;
/** Turns until handlers have taken notice of the end. */
const settleTurnsMax = 60;
/** Turns that a client goes on after the server has ended, since it does not know yet. */
const deafTurns = 3;
/** More than any time that the server gives a client that is to go. */
const farewellMs = 10_000;
const kiB = 1024;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** How the client reads: everything at once, in pieces, not for a while, or only when it has nothing more to send. */
const readers = ['eager', 'eager', 'eager', 'pieces', 'pieces', 'stalling', 'stalling', 'late'] as const;

export async function session(seed: number, clock: VirtualClock, tally: Tally): Promise<number> {
  return new Session(seed, clock, tally).run();
}

class Session {
  readonly #random: Random;
  readonly #clock: VirtualClock;
  readonly #turns = new Turns();
  readonly #socket = new MemorySocket();
  readonly #server: PlinthGrpcServer;
  readonly #client: Client;
  readonly #counters: MethodCounters[] = [];
  readonly #unexpected: unknown[] = [];
  readonly #mutationChance: number;
  readonly #reader: (typeof readers)[number];
  readonly #cutsBytes: boolean;
  readonly #floods: boolean;
  #frames = 0;
  #finishing = false;
  #stalledTurns = 0;
  #silentTurns = 0;
  #stopped: Promise<void> | undefined;

  constructor(seed: number, clock: VirtualClock, tally: Tally) {
    const random = new Random(seed);
    this.#random = random;
    this.#clock = clock;
    this.#mutationChance = random.pick(mutationChances);
    this.#floods = random.chance(floodChance);
    this.#reader = this.#floods ? 'late' : random.pick(readers);
    this.#cutsBytes = random.chance(0.3);
    const calm = this.#mutationChance === 0;
    const favourite = this.#floods ? 'Metadata' : random.chance(0.4) ? random.pick(favourites) : undefined;
    const callsMax = this.#floods ? floodCallsMax : random.pick([1, 5, 20, 60, 500]);
    this.#client = new Client(random, { calm, favourite, callsMax }, tally);
    this.#socket.on('pause', () => tally.pauses++);
    this.#server = new PlinthGrpcServer(methodsFor(this.#turns), this.#options(calm));
  }

  #options(calm: boolean): GrpcServerOptions {
    const random = this.#random;
    return {
      receivedMessageBytesMax: 64 * kiB,
      streamBufferedBytesMax: random.pick([1, 10, 64]) * kiB,
      connectionBufferedBytesMax: (this.#floods ? 1024 : random.pick([1, 64, 1024])) * kiB,
      // A calm client must not be refused; handlers whose call was cancelled count.
      concurrentStreamsMax: calm ? 10_000 : random.pick([3, 100]),
      // Until it hears of a smaller window, a client uses the default.
      streamWindowBytes: random.pick([calm ? 64 : 20, 64, 1024]) * kiB,
      connectionWindowBytes: random.pick([64, 256, 4096]) * kiB,
      // An hour: longer than the clock goes on after the end, so that a timer that is left is seen.
      keepaliveIntervalMs: random.pick([0, 1000, 3_600_000]),
      keepaliveTimeoutMs: 1000,
      connectionIdleMsMax: 0,
      connectionAgeMsMax: 0,
      connectionAgeGraceMs: 0,
      pingIntervalMsMin: 0,
      cancelledCallsBurst: calm ? 10_000 : random.pick([20, 10_000]),
      cancelledCallsPerSecond: 33,
      counters: () => {
        const counters = new MethodCounters();
        this.#counters.push(counters);
        return counters;
      },
      onInternalError: (_path, error) => {
        if (error !== bug) this.#unexpected.push(error);
      },
    };
  }

  /** Returns how many frames were sent. */
  async run(): Promise<number> {
    const random = this.#random;
    const socket = this.#socket;
    this.#server.serve(socket.asSocket);
    const [preface, settings] = this.#client.hello();
    this.#send(Buffer.concat([preface, serialize([settings])]));
    const frames = this.#floods ? floodFrames : Math.ceil(framesMax * random.next() ** 2);
    const stopsAt = random.chance(0.1) ? random.integer(0, frames) : Number.POSITIVE_INFINITY;
    const breaksAt = random.chance(0.1) ? random.integer(0, frames) : Number.POSITIVE_INFINITY;
    while (this.#frames < frames && !socket.over) {
      await this.#turn(random.integer(1, framesPerTurnMax));
      if (this.#frames >= stopsAt) this.#stopServer();
      if (this.#frames >= breaksAt) socket.breakOff();
    }
    this.#client.finish();
    this.#finishing = true;
    await this.#finish();
    await this.#close();
    return this.#frames;
  }

  async #turn(frameCount: number): Promise<void> {
    const random = this.#random;
    const frames = mutate(random, this.#client.next(frameCount), this.#mutationChance);
    this.#frames += frames.length;
    this.#send(serialize(frames));
    if (random.chance(0.1)) this.#clock.advance(random.integer(0, 20));
    this.#turns.next();
    await turn();
    this.#read();
  }

  /** In one piece, or cut anywhere. */
  #send(bytes: Buffer): void {
    this.#client.judge.sent(bytes);
    let at = 0;
    if (this.#cutsBytes) {
      for (let cuts = this.#random.integer(0, 4); cuts > 0; cuts--) {
        const end = Math.min(bytes.length, at + this.#random.integer(1, this.#random.chance(0.5) ? 12 : 2000));
        if (end > at) this.#socket.deliver(bytes.subarray(at, end));
        at = end;
      }
    }
    if (at < bytes.length) this.#socket.deliver(bytes.subarray(at));
  }

  #read(): void {
    const random = this.#random;
    this.#silentTurns++;
    if (this.#reader === 'late' && !this.#finishing) return;
    if (this.#stalledTurns > 0) {
      this.#stalledTurns--;
      return;
    }
    if (this.#reader === 'stalling' && random.chance(0.1)) this.#stalledTurns = random.integer(1, 40);
    const bytesMax = this.#reader === 'pieces' ? random.integer(1, 8 * kiB) : Number.POSITIVE_INFINITY;
    for (const chunk of this.#socket.read(bytesMax)) {
      this.#silentTurns = 0;
      this.#client.judge.received(chunk);
    }
  }

  #stopServer(): void {
    this.#client.serverStops = true;
    this.#stopped ??= this.#server.stop(new RpcError(Code.UNAVAILABLE, 'stopping'), farewellMs);
  }

  async #finish(): Promise<void> {
    const calm = this.#mutationChance === 0;
    this.#silentTurns = 0;
    for (let turns = 0; !this.#client.done && !this.#socket.over; turns++) {
      assert.ok(this.#silentTurns < silentTurnsMax || !calm, `these calls have no end: ${this.#client.unfinished}`);
      // Nobody waits so long for a client that has broken its own streams.
      if (!calm && turns >= settleTurnsMax) return;
      await this.#turn(framesPerTurnMax);
    }
  }

  async #close(): Promise<void> {
    const random = this.#random;
    const socket = this.#socket;
    for (let turns = 0; turns < deafTurns; turns++) await this.#turn(1);
    this.#stalledTurns = 0;
    for (const chunk of socket.read()) this.#client.judge.received(chunk);
    if (socket.over && !socket.destroyed) this.#client.judge.ended();
    // A client that neither reads nor leaves is cut off by the server; others leave.
    if (!socket.over || random.chance(0.9)) {
      if (random.chance(0.5)) socket.sendEnd();
      else socket.breakOff();
    }
    this.#stopServer();
    let stopped = false;
    void this.#stopped!.then(() => {
      stopped = true;
    });
    for (let turns = 0; turns < settleTurnsMax; turns++) {
      this.#turns.next();
      await turn();
    }
    this.#clock.advance(farewellMs);
    await turn();
    assert.deepEqual(this.#unexpected, [], 'errors within the server');
    assert.ok(socket.destroyed, 'the connection is closed');
    assert.ok(stopped, 'the server stops');
    assert.equal(this.#server.activeCalls, 0, 'calls that are left');
    assert.equal(this.#clock.timers, 0, 'timers that are left');
    for (const { started, handled } of this.#counters) {
      assert.equal(
        handled.reduce((sum, count) => sum + count, 0),
        started,
        'each call that was started has one status',
      );
    }
  }
}
