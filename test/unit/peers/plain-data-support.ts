import { PlainDataWriter } from '../../../src/peers/plain-data.ts';

/** The bytes of one value. */
export function encodePlainData(value: unknown): Buffer {
  const writer = new PlainDataWriter();
  writer.write(value);
  return writer.take();
}
