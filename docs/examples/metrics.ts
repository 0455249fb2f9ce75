import type { UserMetric } from "@lockstep/lockstep";

/** The mean probability of the right class. */
export const certainty: UserMetric = ({ probabilities, labels }, tf) =>
  tf.sum(tf.mul(probabilities, tf.oneHot(labels, probabilities.shape[1])), 1);

/** The share of lying bars that are found: only these count. */
export const lyingRecall: UserMetric = ({ logits, labels }, tf) => {
  const lies = tf.equal(labels, 1);
  const found = tf.logicalAnd(lies, tf.equal(tf.argMax(logits, 1), 1));
  return { sum: tf.sum(tf.cast(found, "float32")), count: tf.sum(tf.cast(lies, "float32")) };
};
