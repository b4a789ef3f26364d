/** What the workspace of a session's hand was at a position, as its log tells it. Pure. */
import type { Entry, HandSnapshot } from '../log.ts';
import { callsInHand, INTERRUPTED } from '../loop.ts';
import { mayChangeFiles } from '../snapshot.ts';
import { foldView } from '../view.ts';

/** `empty`: it was empty. `none`: what it was is not known, or gone. */
export type WorkspaceAt =
  | { readonly state: 'snapshot'; readonly snapshot: string }
  | { readonly state: 'empty' | 'none'; readonly reason: string };

/** What is known while the log is read. */
interface Tracking {
  /** The hand that is alive, and whether all that made and used it notes snapshots. */
  readonly hand: { readonly id: string; readonly notesSnapshots: boolean } | null;
  readonly files: WorkspaceAt;
  /** Of the calls of the last answer: when the newest snapshot was taken. Undefined: one of them has none. */
  readonly newestUs: number | undefined;
}

const UNUSED: Tracking = {
  hand: null,
  files: { state: 'empty', reason: 'no sandbox was used' },
  newestUs: 0,
};

/**
 * What the workspace was when the last of these entries was written. `behind`: the `x.hand_snapshot` entries of the
 * rest of the log, because that of a call stands behind its result.
 *
 * A snapshot is the right one if every call that may have changed files and is over has one, and it is the newest: calls
 * of one answer run side by side, so that the last one in the log may have been taken first. What had not begun when the
 * last entry was written is not in it.
 */
export function workspaceAt(entries: readonly Entry[], behind: readonly Entry[]): WorkspaceAt {
  const snapshots = new Map<string, HandSnapshot>();
  for (const { event } of [...entries, ...behind])
    if (event.type === 'x.hand_snapshot') snapshots.set(event.tool_use_id, event);
  const calls = createCallBook();
  let tracking = UNUSED;
  for (const entry of entries) {
    const { event } = entry;
    calls.note(entry);
    tracking =
      event.type === 'agent.tool_result' && calls.mayChangeFiles(event.tool_use_id)
        ? afterCall(tracking, event, snapshots.get(event.tool_use_id))
        : follow(tracking, event);
  }
  return isUnderWay(entries) ? none('a call was under way') : tracking.files;
}

/** Takes in what is no result of such a call. */
function follow(tracking: Tracking, event: Entry['event']): Tracking {
  switch (event.type) {
    case 'x.session_forked': {
      const empty = { state: 'empty', reason: 'no sandbox was used since the session was copied' } as const;
      const { snapshot } = event;
      return { ...UNUSED, files: snapshot === undefined ? empty : { state: 'snapshot', snapshot } };
    }
    case 'x.hand_provisioned': {
      const { hand, snapshot } = event;
      return {
        hand: { id: hand.id, notesSnapshots: snapshot !== undefined },
        files: snapshot
          ? { state: 'snapshot', snapshot }
          : { state: 'empty', reason: 'no call had run in the sandbox that may change files' },
        newestUs: 0,
      };
    }
    case 'x.hand_lost':
      return tracking.hand?.id === event.hand_id
        ? { ...tracking, hand: null, files: none('the sandbox was lost, and its files with it') }
        : tracking;
    case 'span.model_request_start':
      return { ...tracking, newestUs: 0 };
    default:
      return tracking;
  }
}

type Result = Extract<Entry['event'], { type: 'agent.tool_result' }>;

/** Takes in the result of a call that may have changed files. */
function afterCall(tracking: Tracking, result: Result, snapshot: HandSnapshot | undefined): Tracking {
  const { hand, newestUs } = tracking;
  // Without a hand it was refused, or was the loss of the hand.
  if (hand === null) return tracking;
  if (snapshot?.hand_id !== hand.id) {
    // Such a call was told to stop before the hand had it.
    if (hand.notesSnapshots && isInterrupted(result)) return tracking;
    const reason = hand.notesSnapshots
      ? 'a call has failed, and what it had done is not known'
      : 'the sandbox was used by a version of Drover that took no snapshots';
    return { ...tracking, files: none(reason), newestUs: undefined };
  }
  if ('reason' in snapshot)
    return { ...tracking, files: none(`no snapshot was taken: ${snapshot.reason}`), newestUs: undefined };
  if (newestUs === undefined || snapshot.taken_us <= newestUs) return tracking;
  return {
    ...tracking,
    files: { state: 'snapshot', snapshot: snapshot.snapshot },
    newestUs: snapshot.taken_us,
  };
}

function isInterrupted({ content }: Result): boolean {
  const [block] = content ?? [];
  return block?.type === 'text' && block.text === INTERRUPTED;
}

/** What the log has said of calls. */
interface CallBook {
  note(entry: Entry): void;
  /** Whether a call was one of a hand that may change files, and was allowed to. */
  mayChangeFiles(callId: string): boolean;
}

function createCallBook(): CallBook {
  const names = new Map<string, string>();
  const allowed = new Set<string>();
  const answered = new Set<string>();
  return {
    note({ event, extra }) {
      if (event.type === 'agent.tool_use' && extra?.runner !== 'log') {
        names.set(event.id, event.name);
        if (event.evaluated_permission === 'allow') allowed.add(event.id);
      }
      // The first one counts.
      if (event.type !== 'user.tool_confirmation' || answered.has(event.tool_use_id)) return;
      answered.add(event.tool_use_id);
      if (event.result === 'allow') allowed.add(event.tool_use_id);
    },
    mayChangeFiles(callId) {
      const name = names.get(callId);
      return name !== undefined && allowed.has(callId) && mayChangeFiles(name);
    },
  };
}

/** Whether a call that may change files had begun when the last entry was written, and is not over. */
function isUnderWay(entries: readonly Entry[]): boolean {
  const before = foldView(undefined, entries.slice(0, -1));
  const now = foldView(before, entries.slice(-1));
  const begun = new Set(callsInHand(before.loop).map(({ id }) => id));
  return callsInHand(now.loop).some(({ id, name }) => begun.has(id) && mayChangeFiles(name));
}

function none(reason: string): WorkspaceAt {
  return { state: 'none', reason };
}
