/** Watches over the silence of a stream: a connection can die without a word. */

/** Hears every byte of an answer, also the pings of a model that thinks long, which the SDK keeps to itself. */
export function overhear(heard: () => void): typeof fetch {
  return async (input, init) => {
    const answer = await fetch(input, init);
    if (!answer.body) return answer;
    const ear = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        heard();
        controller.enqueue(chunk);
      },
    });
    return new Response(answer.body.pipeThrough(ear), answer);
  };
}

/** Gives up on a stream that says nothing for so long. */
export function silenceGuard(silenceMs: number): { signal: AbortSignal; heard(): void; stop(): void } {
  const controller = new AbortController();
  const giveUp = (): void =>
    controller.abort(new Error(`The model was silent for ${silenceMs / 1000} seconds.`));
  const timer = setTimeout(giveUp, silenceMs);
  return {
    signal: controller.signal,
    heard: () => void timer.refresh(),
    stop: () => clearTimeout(timer),
  };
}
