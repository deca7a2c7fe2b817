"""Frozen networks that others have trained, one module each: what `vectors` computes its vectors with.

A module has FEATURES (what it needs of FeatureConfig), SECONDS and FRAMES of a clip, `prepared` (stored features ->
input of the network), and `pretrained` (a file or None -> the network with its published weights).
"""
