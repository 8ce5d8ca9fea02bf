"""Heads and networks beside mmsegmentation's under PyTorch, which has a process and an environment of its own."""
