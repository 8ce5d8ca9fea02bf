"""Files of weights: reading them without running what is in them, writing them so that a kill loses nothing."""
