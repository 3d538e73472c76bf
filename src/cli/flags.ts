/** THE table of flags. Command line, environment, configuration file, help and docs/configuration.md come from it. */
import { logFormats, logLevels } from '../observe/log.ts';
import type { Flag } from '../registry/flag.ts';
import { grpcTransports } from '../transport/grpc-server.ts';

const member = 'Member';
const limits = 'Limits';
const tls = 'TLS';
const storage = 'Storage';
const compaction = 'Compaction and watch';
const logging = 'Logging';
const process = 'Process';

/** Names, meanings and defaults are etcd's where etcd has the flag. */
export const coreFlags: readonly Flag[] = [
  {
    name: 'name',
    type: 'string',
    default: 'default',
    group: member,
    help: 'Human-readable name of this member.',
  },
  {
    name: 'data-dir',
    type: 'string',
    group: member,
    help: 'Directory of backends that keep files. Default: the name with .plinth behind it.',
  },
  {
    name: 'listen-client-urls',
    type: 'strings',
    default: 'http://localhost:2379',
    group: member,
    help: 'URLs to listen on for clients (gRPC and HTTP): http://<IP or localhost>:<port> or unix://<path>, https or unixs for TLS.',
  },
  {
    name: 'advertise-client-urls',
    type: 'strings',
    group: member,
    help: 'URLs under which clients reach this member, as its member list tells them. Default: those listened on.',
  },
  {
    name: 'listen-metrics-urls',
    type: 'strings',
    group: member,
    help: 'More URLs that answer /metrics, /health, /livez, /readyz and /version only.',
  },
  {
    name: 'cert-file',
    type: 'string',
    group: tls,
    help: 'Certificate (PEM, with those of its issuers behind it) for URLs with https or unixs. Needs --key-file.',
  },
  {
    name: 'key-file',
    type: 'string',
    group: tls,
    help: 'Private key (PEM, no passphrase) of the certificate in --cert-file.',
  },
  {
    name: 'peer-trusted-ca-file',
    type: 'string',
    group: tls,
    help: 'Authorities (PEM) whose certificates replicas must have that this one links to by https. Default: those that Node trusts.',
  },
  {
    name: 'config-file',
    type: 'string',
    group: process,
    help: 'YAML file with flag names as keys. A flag wins over its variable, which wins over the file.',
  },
  {
    name: 'shutdown-grace',
    type: 'duration',
    default: '10s',
    group: process,
    help: 'Time that requests under way get to finish after SIGTERM or SIGINT.',
  },
  {
    name: 'storage-backend',
    type: 'string',
    default: 'sqlite',
    group: storage,
    help: 'Where the data is kept; each backend has its flags below.',
  },
  {
    name: 'keyspace',
    type: 'string',
    default: 'default',
    group: storage,
    help: 'Name of the data set in the database: 1 to 64 letters, digits, dots, dashes and underscores.',
  },
  {
    name: 'replica-links',
    type: 'boolean',
    default: 'true',
    group: storage,
    help: 'Replicas on one keyspace connect to the URLs that each advertises, tell each other what they commit, and let one write for all.',
  },
  {
    name: 'value-cache-bytes',
    type: 'number',
    default: '268435456',
    group: storage,
    help: 'Memory for values; others are loaded from the backend when read.',
  },
  {
    name: 'quota-backend-bytes',
    type: 'number',
    default: '0',
    group: storage,
    help: 'Size of the database above which writes are refused and the NOSPACE alarm is raised. 0: 2 GiB, negative: none.',
  },
  {
    name: 'max-request-bytes',
    type: 'number',
    default: '1572864',
    group: limits,
    help: 'Largest write request.',
  },
  {
    name: 'max-txn-ops',
    type: 'number',
    default: '128',
    group: limits,
    help: 'Most operations in one branch of a transaction.',
  },
  {
    name: 'max-concurrent-streams',
    type: 'number',
    default: '10000',
    group: limits,
    help: 'Most calls that one connection may have open; clients queue further ones. (etcd: no limit by default.)',
  },
  {
    name: 'grpc-keepalive-interval',
    type: 'duration',
    default: '2h',
    group: limits,
    help: 'After this time of silence the server pings a client. 0s: never.',
  },
  {
    name: 'grpc-keepalive-timeout',
    type: 'duration',
    default: '20s',
    group: limits,
    help: 'A connection whose ping is not answered in this time is closed.',
  },
  {
    name: 'grpc-keepalive-min-time',
    type: 'duration',
    default: '5s',
    group: limits,
    help: 'A client that pings more often is told to go away.',
  },
  {
    name: 'grpc-max-connection-idle',
    type: 'duration',
    default: '0s',
    group: limits,
    help: 'A connection without a call for so long is closed, politely (GOAWAY). 0s: no limit.',
  },
  {
    name: 'grpc-max-connection-age',
    type: 'duration',
    default: '0s',
    group: limits,
    help: 'A connection of this age, or up to 10 % less, is closed, politely: its client connects anew. 0s: no limit.',
  },
  {
    name: 'grpc-max-connection-age-grace',
    type: 'duration',
    default: '30s',
    group: limits,
    help: 'After this time more the calls that are left on such a connection are cut, watches among them.',
  },
  {
    name: 'grpc-transport',
    type: 'string',
    default: 'plinth',
    choices: grpcTransports,
    group: limits,
    help: 'What serves gRPC: HTTP/2 of our own, or the library @grpc/grpc-js, slower, for comparison.',
  },
  {
    name: 'auto-compaction-mode',
    type: 'string',
    default: 'periodic',
    choices: ['periodic', 'revision'],
    group: compaction,
    help: 'How auto-compaction-retention is meant.',
  },
  {
    name: 'auto-compaction-retention',
    type: 'string',
    default: '0',
    group: compaction,
    help: 'History to keep. periodic: a duration such as 5m, a bare number is hours; revision: so many revisions. 0: no auto-compaction.',
  },
  {
    name: 'watch-progress-notify-interval',
    type: 'duration',
    default: '10m',
    group: compaction,
    help: 'How often a watch that asked for it hears of the current revision. At least 100ms.',
  },
  {
    name: 'log-level',
    type: 'string',
    default: 'info',
    choices: logLevels,
    group: logging,
    help: 'Lines below this level are left out.',
  },
  {
    name: 'log-format',
    type: 'string',
    default: 'json',
    choices: logFormats,
    group: logging,
    help: 'JSON, or lines for people.',
  },
];

/** `data-dir` → `PLINTH_DATA_DIR` */
export function environmentName(flagName: string, prefix = 'PLINTH'): string {
  return `${prefix}_${flagName.toUpperCase().replaceAll('-', '_')}`;
}
