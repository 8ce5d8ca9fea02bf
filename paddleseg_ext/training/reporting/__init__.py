"""What is told of a training while it runs: the log, ``metrics.jsonl``, VisualDL and TensorBoard."""
