"""Reading the weights that other projects publish, with identical logits."""
