/** The page that chaos writes: a section for each kind of server, of whichever run was the last to have it. */

/** What came of one kind of server. */
export interface Section {
  readonly title: string;
  readonly text: string;
}

const HEAD = `# Chaos

\`npm run chaos\` kills and stops processes while clients hold conversations with the official SDK; then a judge that sees
what any client sees, and what commands have left in their sandboxes, says what went wrong. All that is judged is to be 0:

| judged | counts |
|---|---|
| unfinished | sessions whose conversation did not come to its end, or that are not idle |
| lost | events that were acknowledged and are not in the log |
| duplicated | events that are in the log twice |
| reordered | messages in another order than they were acknowledged in; events in another than a stream gave them in |
| unheard | events that a stream gave and that the list does not have |
| holes | positions that are missing or come twice; sessions whose slices and list differ |
| unanswered | tool calls without exactly one result |
| misrun | commands that ran twice, or have a result and did not run |
| overasked | model requests beyond one for each step, and one for each session that was at work at a kill |

A third of the kills that come one upon the other are at named points: the process that passes one kills itself there,
before or after a durable write, a model request, a tool call. The others hit any process, or a sandbox; one in five is
stopped for a while instead. Those that come one by one show how long each is felt.
`;

/** Puts a section in the place of the one with its title, or behind what is there. */
export function toPage(page: string, { title, text }: Section): string {
  const all = new Map(
    page
      .split(/^## /m)
      .slice(1)
      .map((section) => {
        const [title = '', ...lines] = section.split('\n');
        return [title, lines.join('\n').trim()];
      }),
  );
  all.set(title, text.trim());
  return [HEAD, ...[...all].map((section) => `## ${section.join('\n\n')}\n`)].join('\n');
}
