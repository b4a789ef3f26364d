/** Port: a way to get one of Temporal's programs. Implementations: `sdk-download.ts`, `go-install.ts`. */
import type { ToolPlaces } from '../config.ts';

/** One way to get the program. */
export interface Way {
  readonly name: string;
  /** Puts the program into `folder` and gives its path. Throws with a reason a person can act upon. */
  get(folder: string, context: WayContext): Promise<string>;
}

/** What a way may use. */
export interface WayContext {
  readonly places: ToolPlaces;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}
