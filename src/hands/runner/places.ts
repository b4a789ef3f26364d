/** What is agreed between the runner and those who start it, above all where things are in a hand. */

/** The runner's own folder: socket, journal, output pipe. */
export const STATE_FOLDER = '/run/drover';

/** The runner's socket, in its state folder. */
export const SOCKET_NAME = 'runner.sock';

/** Where the runner and its Node are installed. */
export const INSTALL_FOLDER = '/opt/drover';

/** The start of every command line for the runner in a hand. */
export const RUNNER_COMMAND = [
  `${INSTALL_FOLDER}/bin/node`,
  `${INSTALL_FOLDER}/src/hands/runner.ts`,
] as const;

/** Where commands are looked for in a hand. */
export const SEARCH_PATH = `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${INSTALL_FOLDER}/bin`;

/** The exit code of a runner that was asked to end: its hand is suspended, and nothing is wrong. */
export const ENDED_ON_REQUEST = 86;
