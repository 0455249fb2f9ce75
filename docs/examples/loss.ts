import type { UserLoss } from "@lockstep/lockstep";

const GAMMA = 2;

/** Focal loss (Lin et al. 2017): gives less weight to samples that the network classifies with confidence. */
export const lossPerSample: UserLoss = (logits, { targets }, tf) => {
  const logs = tf.logSoftmax(logits);
  const weights = tf.pow(tf.sub(1, tf.exp(logs)), GAMMA);
  return tf.neg(tf.sum(tf.mul(targets, tf.mul(weights, logs)), 1));
};
