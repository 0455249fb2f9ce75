/**
 * A worker that does nothing and ends for nobody: SIGKILL alone ends it.
 *
 * @module
 */
setInterval(() => {}, 60_000);
