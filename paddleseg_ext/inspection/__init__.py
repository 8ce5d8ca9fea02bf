"""Looking at everything that a training will meet, before it does: environment, configuration, data, one step."""
