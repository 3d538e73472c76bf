/** One row of the table of flags: command line, environment and configuration file are generated from it. */
export interface Flag {
  /** As typed, without dashes: `data-dir`. Also the key in the YAML file. The variable is PLINTH_DATA_DIR. */
  readonly name: string;
  /** `duration` accepts etcd's forms (`10s`, `5m`, `1h30m`, a bare number where etcd does) and is given in milliseconds. */
  readonly type: 'string' | 'number' | 'boolean' | 'duration' | 'strings';
  /** As it would be typed; absent: no default. */
  readonly default?: string;
  readonly group: string;
  readonly help: string;
  /** For `string`: the only accepted values. */
  readonly choices?: readonly string[];
}

/** Parsed options by flag name. `strings` is a comma separated list; `number` and `duration` are finite numbers. */
export type Options = ReadonlyMap<string, string | number | boolean | readonly string[]>;
