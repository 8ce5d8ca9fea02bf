"""Training, evaluation and prediction loops. They know a model only through the list that it returns."""
