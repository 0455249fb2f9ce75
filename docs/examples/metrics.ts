import type { UserMetric } from "@lockstep/lockstep";

/** The mean probability of the right class. */
export const certainty: UserMetric = ({ probabilities, labels }, tf) =>
  tf.sum(tf.mul(probabilities, tf.oneHot(labels, probabilities.shape[1])), 1);

/** The share of squares that are found: only squares count. */
export const squareRecall: UserMetric = ({ logits, labels }, tf) => {
  const isSquare = tf.equal(labels, 1);
  const found = tf.logicalAnd(isSquare, tf.equal(tf.argMax(logits, 1), 1));
  return { sum: tf.sum(tf.cast(found, "float32")), count: tf.sum(tf.cast(isSquare, "float32")) };
};
