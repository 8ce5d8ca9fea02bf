"""Import of checkpoints of mmsegmentation and PaddleSeg, with the same logits."""
