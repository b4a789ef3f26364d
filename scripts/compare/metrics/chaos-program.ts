/** The plain program under kills: each one takes all of its sessions with it. */
import { setTimeout as pause } from 'node:timers/promises';
import { ProgramDiedError } from '../../baseline/process.ts';
import type { Context } from '../metric.ts';
import { seededRandom } from '../statistics.ts';
import type { ProgramSubject } from '../subject.ts';
import type { Values } from '../values.ts';
import { countMarks, countRepeated, markedTurn, untilAtWork } from './chaos-marks.ts';

const REQUESTS_A_TURN = 2;
const AGAIN_AFTER_MS = 20;
const COMMANDS_END_WITHIN_MS = 2000;

/** Runs the scenario. */
export async function loseEverything(
  { program, dataDir }: ProgramSubject,
  { sizes, model, seed }: Context,
): Promise<Values> {
  const random = seededRandom(seed);
  const { programKills, programGapMs, sessions } = sizes.chaos;
  const requestsBefore = await model.countRequests();
  const count = { begun: 0, finished: 0, conversations: 0, eventsLost: 0 };
  const over = new AbortController();
  const atWork = new Set<number>();

  const drive = async (number: number): Promise<void> => {
    let session = await untilBorn();
    let done = 0;
    for (let turn = 1; !over.signal.aborted; turn += 1) {
      const text = markedTurn(`m${number}-${turn}`);
      count.begun += 1;
      while (!(await makeTurn(session, text))) {
        count.conversations += done;
        // A user's message, a call, its result, an answer.
        count.eventsLost += done * 4 + 1;
        done = 0;
        session = await untilBorn();
      }
      count.finished += 1;
      done += 1;
      atWork.add(number);
    }
  };
  const makeTurn = async (session: string, text: string): Promise<boolean> => {
    try {
      await program.turn(session, text);
      return true;
    } catch (error) {
      if (error instanceof ProgramDiedError || isUnknown(error)) return false;
      throw error;
    }
  };
  const untilBorn = async (): Promise<string> => {
    for (;;) {
      try {
        return await program.create();
      } catch (error) {
        if (!(error instanceof ProgramDiedError)) throw error;
        await pause(AGAIN_AFTER_MS);
      }
    }
  };

  const drivers = Promise.all(Array.from({ length: sessions }, (_, number) => drive(number)));
  drivers.catch(() => undefined);
  await untilAtWork(() => atWork.size === sessions);
  const start = performance.now();
  const early = count.finished;
  for (let kill = 0; kill < programKills; kill += 1) {
    await pause(2 * random() * programGapMs);
    await program.kill();
    await program.restart();
  }
  over.abort();
  await drivers;
  const tookMs = performance.now() - start;
  // Commands of lost sandboxes end by themselves.
  await pause(COMMANDS_END_WITHIN_MS);
  const requests = (await model.countRequests()) - requestsBefore;
  return {
    kills: programKills,
    victims: `program ${programKills}`,
    begun: count.begun,
    finished: count.finished,
    rate: ((count.finished - early) * 1000) / tookMs,
    stuck: 0,
    conversations: count.conversations,
    eventsLost: count.eventsLost,
    toolsTwice: countRepeated(await countMarks(dataDir)),
    modelTwice: requests - count.finished * REQUESTS_A_TURN,
  };
}

/** The program that answers is not the one that the session was in. */
function isUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('no session');
}
