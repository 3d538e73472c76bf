import { memory } from '../../src/backends/memory/backend.ts';
import { contract } from './contract/suite.ts';

contract(async () => ({ backend: memory(), options: new Map() }), {
  otherProcesses: false,
  keyBytesMax: 1.5 * 1024 * 1024,
});
