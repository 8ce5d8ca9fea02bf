"""Trainings and evaluations side by side: what `compare` tells."""
