"""How a run computes: precision, processes, random numbers. Knows no model and no data."""
