/** What a program needs that brings a backend of its own: see docs/adding-a-backend.md and examples/third-party-backend. */
export { registerBuiltin } from './backends/register.ts';
export { run } from './cli/command.ts';
export type { Backend, BuildContext, Storage } from './registry/backend.ts';
export { Backends } from './registry/backends.ts';
export { type Directory, type DirectoryEntry, directoryEntryBytesMax } from './registry/directory.ts';
export type { Flag, Options } from './registry/flag.ts';
export {
  type Checkpoint,
  checkChanges,
  checkpointBytesMax,
  checkpointRowsMax,
  Fenced,
  type Image,
  type ImageChange,
  type ImageMark,
  type ImageRow,
  type ImageRowHead,
  type NamedRecord,
  type Snapshot,
  type StorageSize,
} from './registry/image.ts';
export {
  type AppendOutcome,
  BackendError,
  type Batch,
  batchBytesMaxLeast,
  checkBatch,
  type Log,
  type ReadLimit,
} from './registry/log.ts';
export {
  type Relay,
  type RelayBackend,
  type RelayCall,
  RelayError,
  type RelayMetadata,
  type RelayStream,
} from './registry/relay.ts';
