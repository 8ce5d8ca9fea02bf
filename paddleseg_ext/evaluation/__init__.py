"""Applying a network to images, and measuring how well it does."""
