/** docs/configuration.md, written from the table of flags. */
import type { Flag } from '../registry/flag.ts';
import { environmentName } from './flags.ts';

const introduction = `# Configuration

Generated from the table of flags in src/cli/flags.ts and from the flags of the backends;
\`node --import tsx scripts/configuration.mjs\` writes it anew.

\`plinth serve\` takes its options from four places, the first of which wins:

1. the command line: \`--data-dir=/var/lib/plinth\` or \`--data-dir /var/lib/plinth\`;
2. the environment: \`PLINTH_DATA_DIR\`. etcd's \`ETCD_DATA_DIR\` is accepted too; where both are set, \`PLINTH_\` wins. An empty
   variable counts as not set;
3. the YAML file named by \`--config-file\`, with flag names as keys: \`data-dir: /var/lib/plinth\`. Lists may be YAML lists;
4. the default.

This differs from etcd, which ignores flags and variables once there is a configuration file.

Names and meanings are etcd's where etcd has the flag. A flag or key that is not known is an error. All that is wrong with
a configuration is reported at once, with exit code 2, before anything is opened.

Durations are written as in etcd: \`300ms\`, \`10s\`, \`5m\`, \`1h30m\`, also in the file. Lists are separated by commas. Sizes
are bytes.
`;

export function configurationReference(flags: readonly Flag[]): string {
  const groups = new Map<string, Flag[]>();
  for (const flag of flags) groups.set(flag.group, [...(groups.get(flag.group) ?? []), flag]);
  const sections = [...groups].map(([group, members]) => `\n## ${group}\n\n${members.map(entry).join('\n')}`);
  return introduction + sections.join('');
}

function entry(flag: Flag): string {
  const facts = [
    flag.choices ? `one of ${flag.choices.map((choice) => `\`${choice}\``).join(', ')}` : typeNames[flag.type],
    flag.default === undefined ? '' : `default \`${flag.default}\``,
    `\`${environmentName(flag.name)}\``,
  ];
  return `- \`--${flag.name}\` (${facts.filter((fact) => fact !== '').join(', ')})\n  ${flag.help}\n`;
}

const typeNames = { string: 'text', number: 'number', boolean: 'true or false', duration: 'duration', strings: 'list' };
