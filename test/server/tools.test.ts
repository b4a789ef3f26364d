/** Conformance checks 29 and 30: built-in tools, parallel calls, thinking across tool rounds. */
import { describe, expect, it } from 'vitest';
import { unique } from '../support/client.ts';
import { modelRequests, only, script, textOf, typesOf, useTestbed } from '../support/turns.ts';

const bed = useTestbed();
const bash = (command: string) => ({ call: 'bash', input: { command } });

describe('built-in tools', () => {
  it('check 29: the shell lives on between calls', async () => {
    const live = await bed.live();
    const turn = await live.turn(
      script(bash('cd /tmp; export COLOUR=green'), bash('pwd; echo $COLOUR'), { say: 'done' }),
    );
    const [first, second] = only(turn, 'agent.tool_result');
    expect(first?.is_error ?? false).toBe(false);
    expect(textOf(second).trim()).toBe('/tmp\ngreen');
    const next = await live.turn(script(bash('pwd'), { say: 'done' }));
    expect(textOf(only(next, 'agent.tool_result')[0]).trim()).toBe('/tmp');
  });

  it('check 29: a failing command is an error with its output', async () => {
    const live = await bed.live();
    const turn = await live.turn(script(bash('echo before; ls /nowhere; false'), { say: 'seen' }));
    const [result] = only(turn, 'agent.tool_result');
    expect(result?.is_error).toBe(true);
    expect(textOf(result)).toContain('before');
    expect(textOf(result)).toContain('/nowhere');
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['seen']);
  });

  it('check 29: output over 100,000 characters becomes a preview and a file that holds all of it', async () => {
    const live = await bed.live();
    const turn = await live.turn(script(bash('seq 1 40000'), { say: 'long' }));
    const shown = textOf(only(turn, 'agent.tool_result')[0]);
    expect(shown.length).toBeLessThanOrEqual(110_000);
    const path = /(\/[\w./-]+\.txt)/.exec(shown)?.[1];
    expect(path).toBeDefined();
    const next = await live.turn(
      script(bash(`wc -l < ${path ?? ''}; tail -n 1 ${path ?? ''}`), { say: 'read' }),
    );
    expect(textOf(only(next, 'agent.tool_result')[0]).trim().split(/\s+/)).toEqual(['40000', '40000']);
  });

  it('files are written, edited, read and found', async () => {
    const live = await bed.live();
    const path = '/workspace/notes/a.txt';
    const turn = await live.turn(
      script(
        { call: 'write', input: { file_path: path, content: 'alpha\nbeta\n' } },
        { call: 'edit', input: { file_path: path, old_string: 'beta', new_string: 'gamma' } },
        { call: 'read', input: { file_path: path } },
        { call: 'grep', input: { pattern: 'gam', path: '/workspace' } },
        { call: 'glob', input: { pattern: '**/*.txt', path: '/workspace' } },
        { say: 'done' },
      ),
    );
    const results = only(turn, 'agent.tool_result');
    expect(results.map(({ is_error }) => is_error ?? false)).toEqual([false, false, false, false, false]);
    expect(textOf(results[2])).toContain('gamma');
    expect(textOf(results[2])).not.toContain('beta');
    expect(textOf(results[3])).toContain('a.txt');
    expect(textOf(results[4])).toContain('a.txt');
  });

  it('check 30: a disabled tool is not offered, and a call to it is denied', async () => {
    const mark = unique('disabled');
    const agent = await bed.agent({
      system: mark,
      tools: [{ type: 'agent_toolset_20260401', configs: [{ name: 'bash', enabled: false }] }],
    });
    const live = await bed.live({ agent: agent.id });
    const turn = await live.turn(script({ ...bash('echo no'), unoffered: true }, { say: 'understood' }));

    const [first] = await modelRequests(mark);
    const offered = (first?.body.tools ?? []).map(({ name }) => name);
    expect(offered).toContain('read');
    expect(offered).not.toContain('bash');
    const [use] = only(turn, 'agent.tool_use');
    expect(use?.evaluated_permission).toBe('deny');
    expect(use).not.toHaveProperty('evaluation');
    expect(only(turn, 'agent.tool_result')).toMatchObject([{ tool_use_id: use?.id, is_error: true }]);
    expect(textOf(only(turn, 'agent.tool_result')[0])).not.toBe('no');
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['understood']);
  });

  it('parallel calls each get one result, between the end of the span and the next', async () => {
    const live = await bed.live();
    const calls = [bash('echo one'), { call: 'glob', input: { pattern: '*' } }, bash('echo three')];
    const turn = await live.turn(script({ say: 'at once' }, { calls }, { say: '{{results}}' }));

    const uses = only(turn, 'agent.tool_use');
    const results = only(turn, 'agent.tool_result');
    expect(uses.map(({ name }) => name)).toEqual(['bash', 'glob', 'bash']);
    expect(results.map(({ tool_use_id }) => tool_use_id).sort()).toEqual(uses.map(({ id }) => id).sort());
    const byId = new Map(results.map((result) => [result.tool_use_id, textOf(result).trim()]));
    expect([byId.get(uses[0]?.id ?? ''), byId.get(uses[2]?.id ?? '')]).toEqual(['one', 'three']);
    expect(typesOf(turn).slice(4)).toEqual([
      'span.model_request_start',
      'agent.message',
      'agent.tool_use',
      'agent.tool_use',
      'agent.tool_use',
      'span.model_request_end',
      'agent.tool_result',
      'agent.tool_result',
      'agent.tool_result',
      'span.model_request_start',
      'agent.message',
      'span.model_request_end',
      'session.thread_status_idle',
      'session.usage',
      'session.status_idle',
    ]);
    // The model refuses results that do not stand right behind their calls, so that it answered proves the pairing.
    expect(textOf(only(turn, 'agent.message')[1])).toMatch(/^one\n[^]*three$/);
  });

  it.each(['claude-sonnet-5', 'claude-sonnet-4-5'])(
    '%s gets its thinking back, signed, in every round',
    async (model) => {
      const mark = unique('thinking');
      const agent = await bed.agent({ model, system: mark });
      const live = await bed.live({ agent: agent.id });
      const turn = await live.turn(
        script(
          { think: 'First I look.' },
          { say: 'Looking.' },
          bash('echo seen'),
          { think: 'Then I look again.' },
          bash('echo again'),
          { think: 'Now I know.' },
          { say: 'Known: {{result}}' },
        ),
      );
      expect(only(turn, 'agent.thinking')).toHaveLength(3);
      expect(textOf(only(turn, 'agent.message').at(-1))).toBe('Known: again');
      expect(only(turn, 'session.error')).toEqual([]);

      const after = await live.turn(script({ say: 'thanks' }));
      expect(only(after, 'session.error')).toEqual([]);
      const last = (await modelRequests(mark)).at(-1);
      const thoughts = (last?.body.messages ?? []).flatMap(({ content }) =>
        content.filter(({ type }) => type === 'thinking'),
      );
      expect(thoughts.map(({ thinking }) => thinking)).toEqual([
        'First I look.',
        'Then I look again.',
        'Now I know.',
      ]);
      expect(thoughts.every(({ signature }) => typeof signature === 'string' && signature !== '')).toBe(true);
      // Clients never see a thought. The user's message is left out: the script in it is where the thoughts came from.
      const shown = (await live.list()).filter(({ type }) => type !== 'user.message');
      const thinking = only(shown, 'agent.thinking');
      expect(thinking).toHaveLength(3);
      for (const event of thinking) expect(Object.keys(event).sort()).toEqual(['id', 'processed_at', 'type']);
      expect(JSON.stringify(shown)).not.toContain('Then I look again.');
    },
  );
});
