/** What the workflow bundle contains: workflow functions, nothing else. */
export { session } from './session.ts';
