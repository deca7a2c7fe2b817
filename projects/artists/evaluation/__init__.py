"""Evaluation mathematics: arrays in, numbers out."""
