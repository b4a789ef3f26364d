#!/usr/bin/env node
/** The `drover` command: a whole server, each of its processes alone, and what an operator needs beside them. */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { COMMANDS, type Command } from './cli/commands.ts';
import { ConfigError, environment } from './config.ts';

/** The command line cannot be understood. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  'data-dir': { type: 'string' },
  port: { type: 'string' },
  position: { type: 'string' },
  to: { type: 'string' },
  url: { type: 'string' },
} as const;

const EXIT = { failed: 1, misused: 2 };

/** Understands the command line, runs the command, and says what went wrong in words a person can act upon. */
async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(args);
  const { name, operands } = split(positionals);
  if (values.help === true) {
    process.stdout.write(name === undefined ? overview() : usage(name, find(name)));
    return;
  }
  if (name === undefined) throw new UsageError(`a command is missing\n\n${overview()}`);
  const command = find(name);
  const wanted = command.operands ?? [];
  const { help: _, 'data-dir': dataDir, port, ...options } = values;
  const isWrong =
    operands.length !== wanted.length ||
    Object.keys(options).some((option) => !Object.hasOwn(command.options ?? {}, option)) ||
    Object.entries(command.options ?? {}).some(
      ([option, { isRequired }]) => isRequired && !Object.hasOwn(options, option),
    );
  if (isWrong) throw new UsageError(usage(name, command).trim());
  const set = { DROVER_DATA_DIR: dataDir, PORT: port };
  const env = environment(Object.fromEntries(Object.entries(set).filter(([, value]) => value !== undefined)));
  await command.run({ operands, options, env });
}

/** The command's name, which may be two words, and what follows it. */
function split(positionals: readonly string[]): { name: string | undefined; operands: readonly string[] } {
  const two = positionals.slice(0, 2).join(' ');
  const length = positionals.length > 1 && Object.hasOwn(COMMANDS, two) ? 2 : 1;
  return { name: length === 2 ? two : positionals[0], operands: positionals.slice(length) };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function find(name: string): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new UsageError(`unknown command "${name}" (drover --help lists them)`);
  return command;
}

function usage(name: string, { summary, operands = [], options = {} }: Command): string {
  const own = Object.entries(options).map(([option, { value, isRequired }]) => {
    const word = `--${option} <${value}>`;
    return isRequired ? word : `[${word}]`;
  });
  const words = ['drover', name, ...operands.map((operand) => `<${operand}>`), ...own];
  return `usage: ${words.join(' ')} [--data-dir <folder>] [--port <number>]\n${summary}\n`;
}

function overview(): string {
  const shown = Object.entries(COMMANDS).filter(([, { hidden }]) => hidden !== true);
  const width = Math.max(...shown.map(([name]) => name.length)) + 2;
  const lines = shown.map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}\n`);
  return `usage: drover <command> [options]\n\n${lines.join('')}\nSettings are environment variables: docs/start.md\n`;
}

/** A failure in one line, with what caused it: stacks are for bugs, and these are mostly circumstances. */
function explain(error: unknown): string {
  const parts: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) {
    if (!parts.some((part) => part.includes(at.message))) parts.push(at.message);
  }
  return parts.length > 0 ? parts.join(': ') : String(error);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const misused = error instanceof UsageError || error instanceof ConfigError;
  process.stderr.write(`drover: ${explain(error)}\n`);
  process.exit(misused ? EXIT.misused : EXIT.failed);
}
