"""Search over the hyperparameters around a model: Optuna chooses, train.fit trains, a child run holds each trial.

options: what a user may set; objectives: what is optimised; space: what is tried; storage: where studies live, and how
several workers share one; study: which trial is next, and whose; trial: one training; final: the best configuration
beside the published one over several seeds; report: what the parent run shows; search: all of it in order.
"""
