/** The command line. A program of a third party registers its backends and calls `run`, as src/main.ts does. */
import { Command, CommanderError, Option } from 'commander';
import type { Backends } from '../registry/backends.ts';
import type { Flag } from '../registry/flag.ts';
import type { ServerConfig } from '../server/config.ts';
import { versionText } from '../server/version.ts';
import { checkConfig } from './config.ts';
import { coreFlags, environmentName } from './flags.ts';
import { gatherOptions } from './options.ts';
import { suggestion } from './suggest.ts';

/** Exit codes: 0 stopped as asked, 1 could not start or broke, 2 wrong usage or configuration. */
const usageExitCode = 2;

/** `argv` without the interpreter and the script: `process.argv.slice(2)`. Resolves with the exit code. */
export async function run(argv: readonly string[], backends: Backends): Promise<number> {
  let exitCode = 0;
  const flags = [...coreFlags, ...backends.flags()];
  const program = new Command('plinth')
    .description('An etcd-compatible server over a pluggable ordered log.')
    .version(versionText, '-V, --version')
    .helpCommand(true)
    .exitOverride()
    .action(() => program.help({ error: true }));
  program
    .command('version')
    .description('Prints the version.')
    .action(() => console.log(versionText));
  const configured = (name: string, description: string, start: (config: ServerConfig) => Promise<number>) =>
    program.addCommand(
      configuredCommand(name, description, flags, async (typed, unknown) => {
        const gathered = gatherOptions(flags, typed, process.env);
        const problems = [...unknown, ...gathered.problems];
        const config = checkConfig(gathered.options, backends, problems);
        exitCode = problems.length > 0 ? complain(problems) : await start(config);
      }),
    );
  // Imported only now: help and complaints need none of what a server is made of.
  configured('serve', 'Serves the etcd v3 API until it is told to stop.', async (config) => {
    const { serve } = await import('../server/serve.ts');
    return await serve(config, backends);
  });
  configured('log', 'Prints the log of a data set that is not being served.', async (config) => {
    const { printLog } = await import('../server/print-log.ts');
    return await printLog(config, backends);
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed what is to be said; help and version that were asked for are no errors.
    return error.exitCode === 0 ? 0 : usageExitCode;
  }
  return exitCode;
}

function complain(problems: readonly string[]): number {
  const head =
    problems.length === 1 ? 'the configuration has a problem:' : `the configuration has ${problems.length} problems:`;
  console.error(['plinth: ', head, ...problems.map((problem) => `\n  ${problem}`)].join(''));
  return usageExitCode;
}

/** `action` gets what was typed by flag name, and complaints about what is not known. */
function configuredCommand(
  name: string,
  description: string,
  flags: readonly Flag[],
  action: (typed: ReadonlyMap<string, string>, unknown: string[]) => Promise<void>,
): Command {
  const command = new Command(name)
    .description(description)
    .usage('[flags]')
    .exitOverride()
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText('after', helpFooter);
  const names = new Map<string, string>();
  for (const flag of flags) {
    const option = optionOf(flag);
    names.set(option.attributeName(), flag.name);
    command.addOption(option);
  }
  return command.action(async () => {
    const typed = new Map<string, string>();
    for (const [attribute, value] of Object.entries(command.opts<Record<string, string | true>>())) {
      typed.set(names.get(attribute)!, String(value));
    }
    await action(typed, unknownArguments(command.args, flags));
  });
}

function optionOf(flag: Flag): Option {
  const value = {
    string: '<text>',
    number: '<number>',
    boolean: '[true|false]',
    duration: '<duration>',
    strings: '<list>',
  };
  const choices = flag.choices ? `one of ${flag.choices.join(', ')}` : '';
  const standard = flag.default ? `default: ${flag.default}` : '';
  const notes = [choices, standard].filter((note) => note !== '').join('; ');
  const help = notes === '' ? flag.help : `${flag.help} (${notes})`;
  return new Option(`--${flag.name} ${value[flag.type]}`, help).helpGroup(`${flag.group}:`);
}

const helpFooter = `
Each flag is also an environment variable (--data-dir is ${environmentName('data-dir')}; ${environmentName('data-dir', 'ETCD')} is
accepted too) and a key of the YAML file given by --config-file (data-dir: …).
A flag wins over a variable, a variable over the file. Durations are written 10s, 5m, 1h30m; lists with commas.`;

/** What commander did not understand, with the flag that was perhaps meant. The value behind an unknown flag is left out. */
function unknownArguments(args: readonly string[], flags: readonly Flag[]): string[] {
  const names = flags.map(({ name }) => name);
  const problems: string[] = [];
  let afterUnknownFlag = false;
  for (const argument of args) {
    if (argument.startsWith('-')) {
      const name = argument.replace(/^--?/, '').split('=')[0]!;
      problems.push(`${argument.split('=')[0]}: unknown flag${suggestion(name, names, '--')}`);
    } else if (!afterUnknownFlag) {
      problems.push(`unexpected argument ${JSON.stringify(argument)}`);
    }
    afterUnknownFlag = argument.startsWith('-') && !argument.includes('=');
  }
  return problems;
}
