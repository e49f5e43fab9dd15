"""Randomness in the input: its settings, layers, draws and losses."""
