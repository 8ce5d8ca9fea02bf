"""What a network costs: parameters, multiply-adds, activations and memory of each layer, and time."""
