/** Lost and repeated work while processes are killed at random. */
import type { FigureSpec, Metric } from '../metric.ts';
import type { Values } from '../values.ts';
import { harass } from './chaos-server.ts';
import { loseEverything } from './chaos-program.ts';

const COUNTED: readonly (readonly [key: string, label: string, headline?: string])[] = [
  ['stuck', 'turns that never ended', 'turns that never ended'],
  ['conversations', 'finished turns whose conversation was lost', 'finished turns lost under kills'],
  ['acknowledged', 'messages acknowledged and lost'],
  ['doubled', 'messages that stand in the log twice'],
  ['eventsLost', 'events seen by a client and lost', 'events lost under kills'],
  ['eventsTwice', 'events that stand in the log twice'],
  ['toolsTwice', 'tool runs repeated', 'tool runs repeated under kills'],
  ['toolsLost', 'tool results without a run'],
  ['unknown', 'tool calls answered by an error'],
  ['modelTwice', 'model requests beyond those whose answer counts'],
];

/** `chaos`. */
export const chaos: Metric = {
  name: 'chaos',
  title: 'Under random kills',
  figures: () => [
    { key: 'kills', label: 'processes killed', unit: '' },
    { key: 'victims', label: 'which', unit: '' },
    { key: 'begun', label: 'turns begun', unit: '' },
    { key: 'finished', label: 'turns finished', unit: '', better: 'higher' },
    { key: 'rate', label: 'turns finished a second under kills', unit: 'turns/s', better: 'higher' },
    ...COUNTED.map(([key, label, headline]): FigureSpec => ({
      key,
      label,
      unit: '',
      better: 'lower',
      ...(headline !== undefined && { headline }),
    })),
  ],
  method: ({ chaos: { kills, meanGapMs, programKills, programGapMs, sessions } }) =>
    `${sessions} sessions make turns of a model request, a bash call of 0.3 s that leaves a mark in the sandbox, and another model request, with three workers. ` +
    `Once each has made a turn: ${kills} times SIGKILL, after random pauses of ${meanGapMs / 1000} s on average, of a process picked at random among those that are up: workers, API, proxy, Temporal, Postgres. ` +
    `The seed is the same for all. A client whose message is not acknowledged looks into the log before it sends it again; whoever has seen an event checks that it stands in the list at the end. ` +
    `The marks in the sandboxes are counted. The program in process is killed ${programKills} times, every ${programGapMs / 1000} s on average; its clients begin new sessions and say the last message again.`,
  async run(subject, context): Promise<Values> {
    return subject.kind === 'program'
      ? await loseEverything(subject, context)
      : await harass(subject, context);
  },
};
