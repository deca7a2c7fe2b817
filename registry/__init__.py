"""Decisions over models: what a candidate must show, and the log of what was decided."""
