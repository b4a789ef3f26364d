/** Work that is done at once and then again and again, until stopped; a failure is told and the next round comes. */
export function startRepeating(
  work: () => Promise<void>,
  everyMs: number,
  onFailure: (error: unknown) => void,
): { stop(): void } {
  const round = (): void => void work().catch(onFailure);
  round();
  const timer = setInterval(round, everyMs);
  return { stop: () => clearInterval(timer) };
}
