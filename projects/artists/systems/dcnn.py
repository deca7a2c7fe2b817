"""Basic network of Park et al. 2018, "Representation Learning of Music Using Artist Labels" (figure 1a).

Card: 271,124 parameters with 20 artists. 22,050 Hz, 128 mel bands of the magnitude, log10(1 + 10 * mel), clips of 3 s
(129 frames; 2.97 s or more). SGD with Nesterov momentum 0.9, learning rate 0.015 decayed by 1e-6 a step and divided by
5 on a plateau, he_uniform, L2 1e-5, dropout 0.5, random crops. Its 256 numbers before the softmax, trained on 5,000
artists of the Million Song Dataset: retrieval MAP .4968 on GTZAN, .2441 on FMA small; k-NN .6655, .5269; linear softmax
.6721, .5791 (tables 1 to 3). No score of artists is published.
"""

from __future__ import annotations

from .lazy import keras, layers
from .park import ParkSystem, TowerConfig, tower


class System(ParkSystem):
    Config = TowerConfig

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in log10(1 + 10 * mel) -> (num_classes,) probabilities."""
        inputs = keras.Input((frames, n_mels))
        x = tower(inputs, self.config.dropout)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="dcnn")
