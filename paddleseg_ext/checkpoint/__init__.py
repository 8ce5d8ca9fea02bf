"""Weight files and checkpoints: reading without executing code, atomic writing."""
