/** The tools of a hand: the SDK's own agent toolset, with its answers turned into outcomes. */
import { betaAgentToolset20260401 } from '@anthropic-ai/sdk/tools/agent-toolset/node';
import { join } from 'node:path';
import type { ToolContent, ToolOutcome } from '../../hands.ts';
import type { RunTool } from './calls.ts';
import { toFileName } from './journal.ts';
import { createOutputPipe } from './output-pipe.ts';
import { toContent } from './protocol.ts';
import { createShell, type ToolText } from './shell.ts';
import { createSpool, MAX_SHOWN_CHARS, type Spool } from './spool.ts';

/** Where the tools work and what they may see. */
export interface ToolsetOptions {
  readonly workdir: string;
  /** Folders besides the working directory that the file tools may reach. */
  readonly allowedRoots: readonly string[];
  /** All that a command sees of an environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Where output goes that is too long to show. */
  readonly spillFolder: string;
  /** A folder for what goes between the runner and its shell. */
  readonly state: string;
  /** True where every process that /proc shows belongs to this hand. */
  readonly alone: boolean;
}

type SdkTool = ReturnType<typeof betaAgentToolset20260401>[number];
type SdkContent = Awaited<ReturnType<SdkTool['run']>>;

/** Binds the SDK's toolset to a place. */
export function createToolset(options: ToolsetOptions): RunTool {
  const { workdir, allowedRoots, env } = options;
  const sdkTools = betaAgentToolset20260401({ workdir, allowedRoots: [...allowedRoots], env: { ...env } });
  const tools = new Map(sdkTools.map((tool) => [tool.name, tool]));
  const createSpoolFor = (callId: string): Spool =>
    createSpool(join(options.spillFolder, `${toFileName(callId)}.txt`));
  const shell = createShell({
    run: (input, signal) => runText(tools.get('bash'), input, signal),
    pipe: createOutputPipe(join(options.state, 'output')),
    scriptPath: join(options.state, 'command'),
    createSpool: createSpoolFor,
    alone: options.alone,
  });

  return async (call, signal) => {
    try {
      const tool = tools.get(call.name);
      if (tool === undefined)
        return fail(`there is no tool named ${JSON.stringify(call.name)} in this sandbox`);
      if (call.name === 'bash') return await shell(call.id, call.input, signal);
      const { content, isError } = await run(tool, call.input, signal);
      return { content: toBlocks(content).map((block) => shorten(block, createSpoolFor(call.id))), isError };
    } catch (error) {
      return fail(`${call.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}

/** Runs a tool of the SDK; what it throws is its answer too. */
async function run(
  tool: SdkTool,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<{ readonly content: SdkContent; readonly isError: boolean }> {
  try {
    // The block of the call that the SDK's context asks for is of no use to these six tools.
    const context = { signal } as Parameters<SdkTool['run']>[1];
    return { content: await tool.run(input, context), isError: false };
  } catch (error) {
    return { content: toErrorContent(error), isError: true };
  }
}

async function runText(
  tool: SdkTool | undefined,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<ToolText> {
  if (tool === undefined) throw new Error('the toolset of the SDK has no shell');
  const { content, isError } = await run(tool, input, signal);
  return { text: typeof content === 'string' ? content : JSON.stringify(content), isError };
}

/** A ToolError of the SDK carries what Claude is to be told; another error has only its message. */
function toErrorContent(error: unknown): SdkContent {
  if (!(error instanceof Error)) return String(error);
  return 'content' in error ? (error.content as SdkContent) : `Error: ${error.message}`;
}

function toBlocks(content: SdkContent): ToolContent[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }];
  return content.map((block) => toContent(block) ?? { type: 'text', text: JSON.stringify(block) });
}

function shorten(block: ToolContent, spool: Spool): ToolContent {
  if (block.type !== 'text' || block.text.length <= MAX_SHOWN_CHARS) return block;
  spool.add(block.text);
  return { type: 'text', text: spool.end() };
}

function fail(text: string): ToolOutcome {
  return { content: [{ type: 'text', text }], isError: true };
}
