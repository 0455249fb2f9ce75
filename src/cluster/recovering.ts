/**
 * Commands that are given again when workers were lost on the way.
 *
 * @module
 */
/**
 * Runs an action of a cluster's workers that may be repeated: until it succeeds, as long as the cluster recovers.
 *
 * @throws what the action throws where no recovery helps, or as `Cluster.recover`
 */
export async function recovering<T>(
  cluster: {
    recover(cause: unknown, options: { signal?: AbortSignal | undefined }): Promise<unknown>;
  },
  action: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await action();
    } catch (cause) {
      await cluster.recover(cause, { signal });
    }
  }
}
