/** What is typed for a flag, by its type. All functions throw an Error whose message completes `--flag: …`. */
import type { Flag } from '../registry/flag.ts';

export type FlagValue = string | number | boolean | readonly string[];

export function parseValue(flag: Flag, text: string): FlagValue {
  switch (flag.type) {
    case 'string':
      if (flag.choices && !flag.choices.includes(text)) {
        throw new Error(`${JSON.stringify(text)} is not one of ${flag.choices.join(', ')}`);
      }
      return text;
    case 'number':
      return parseInteger(text);
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw new Error(`${JSON.stringify(text)} is neither true nor false`);
      return text === 'true';
    case 'duration':
      return parseDuration(text);
    case 'strings':
      return text === '' ? [] : text.split(',').map((part) => part.trim());
  }
}

export function parseInteger(text: string): number {
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new Error(`${JSON.stringify(text)} is not a whole number`);
  }
  return value;
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Milliseconds of a duration as Go writes it: numbers with units, added up. `1h30m` is 5,400,000, `1.5s` is 1500, `0` needs
 * no unit. Negative ones are refused, since no flag has a use for them.
 */
export function parseDuration(text: string): number {
  if (text === '0') return 0;
  if (/^[+-]?\d+(\.\d*)?$/.test(text))
    throw new Error(`${JSON.stringify(text)} has no unit, write for instance ${text}s`);
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy)];
  const length = parts.reduce((sum, part) => sum + part[0].length, 0);
  if (parts.length === 0 || length !== text.length) {
    throw new Error(`${JSON.stringify(text)} is not a duration such as 10s, 5m or 1h30m`);
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitMs[unit!]!, 0);
}
