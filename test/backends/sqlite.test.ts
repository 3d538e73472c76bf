import { sqlite } from '../../src/backends/sqlite/backend.ts';
import { contract } from './contract/suite.ts';

contract(async () => ({ backend: sqlite(), options: new Map() }), {
  otherProcesses: true,
  keyBytesMax: 1.5 * 1024 * 1024,
});
