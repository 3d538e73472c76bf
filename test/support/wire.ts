/**
 * Messages to bytes and back by reflection over proto/etcd: on purpose not the code that the server uses. Strict in both
 * directions: an unknown field of a request throws here, an unknown field of an answer is an error of the server.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

export type RequestField = string | number | bigint | boolean | Uint8Array | RequestMessage | readonly RequestField[];
export interface RequestMessage {
  readonly [field: string]: RequestField | undefined;
}

export interface MethodType {
  readonly path: string;
  readonly request: protobuf.Type;
  readonly response: protobuf.Type;
}

const protoDirectory = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'proto', 'etcd');

/** Signed or unsigned 64-bit fields that hold an id: every bit matters. The others must be safe integers. */
const idFields = new Set([
  'clusterId',
  'memberId',
  'memberID',
  'ID',
  'lease',
  'leader',
  'watchId',
  'raftTerm',
  'targetID',
]);

const root = loadRoot();
const methods = loadMethods(root);

function loadRoot(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => path.join(protoDirectory, path.basename(target));
  root.loadSync(fs.readdirSync(protoDirectory).filter((name) => name.endsWith('.proto')));
  root.resolveAll();
  return root;
}

function loadMethods(namespace: protobuf.NamespaceBase, into = new Map<string, MethodType>()): Map<string, MethodType> {
  for (const nested of namespace.nestedArray) {
    if (nested instanceof protobuf.Service) {
      for (const method of nested.methodsArray) {
        method.resolve();
        into.set(`${nested.name}/${method.name}`, {
          path: `/${nested.fullName.slice(1)}/${method.name}`,
          request: method.resolvedRequestType!,
          response: method.resolvedResponseType!,
        });
      }
    } else if (nested instanceof protobuf.Namespace) loadMethods(nested, into);
  }
  return into;
}

/** `Service/Method`, for instance `KV/Range`. */
export function methodType(name: string): MethodType {
  const method = methods.get(name);
  if (!method) throw new Error(`proto/etcd has no method ${name}`);
  return method;
}

export function methodNames(): string[] {
  return [...methods.keys()].sort();
}

export function encode(type: protobuf.Type, message: RequestMessage): Uint8Array {
  return type.encode(toMessage(type, message)).finish();
}

function toMessage(type: protobuf.Type, message: RequestMessage): protobuf.Message {
  const properties: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(message)) {
    if (value === undefined) continue;
    const field = type.fields[name];
    if (!field) throw new Error(`${type.name} has no field ${name}`);
    properties[name] = Array.isArray(value)
      ? value.map((one: RequestField) => toField(field, one))
      : toField(field, value as RequestField);
  }
  return type.create(properties);
}

function toField(field: protobuf.Field, value: RequestField): unknown {
  if (field.resolvedType instanceof protobuf.Type) return toMessage(field.resolvedType, value as RequestMessage);
  if (field.type === 'bytes' && typeof value === 'string') return Buffer.from(value, 'latin1');
  if (field.long) {
    const bits = BigInt(value as number | bigint);
    return { low: Number(BigInt.asIntN(32, bits)), high: Number(BigInt.asIntN(32, bits >> 32n)) };
  }
  return value;
}

export function decode(type: protobuf.Type, bytes: Uint8Array): unknown {
  return fromMessage(type, type.decode(bytes));
}

function fromMessage(type: protobuf.Type, message: protobuf.Message): Record<string, unknown> {
  const source = message as unknown as Record<string, unknown> & { $unknowns?: Uint8Array[] };
  if (source.$unknowns?.length) {
    throw new Error(`${type.name} carries unknown fields: ${Buffer.concat(source.$unknowns).toString('hex')}`);
  }
  const result: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const present = Object.hasOwn(source, field.name);
    if (field.partOf && !present) continue;
    const value = source[field.name];
    if (field.repeated) result[field.name] = ((value as unknown[]) ?? []).map((one) => fromField(field, one));
    else if (field.resolvedType instanceof protobuf.Type && (!present || value === null)) result[field.name] = null;
    else result[field.name] = fromField(field, value);
  }
  return result;
}

function fromField(field: protobuf.Field, value: unknown): unknown {
  if (field.resolvedType instanceof protobuf.Type) return fromMessage(field.resolvedType, value as protobuf.Message);
  if (field.type === 'bytes') return Buffer.from(value as Uint8Array).toString('latin1');
  if (!field.long) return value;
  const id = BigInt(String(value));
  if (idFields.has(field.name)) return id;
  const number = Number(id);
  if (!Number.isSafeInteger(number)) throw new Error(`${field.fullName} is not a safe integer: ${id}`);
  return number;
}
