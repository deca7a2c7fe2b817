"""Tag network of Park et al. 2018 (section 2.3): the tower of the basic network, trained on tags for comparison.

Card: a label column named `tags` or `<something>_tags`, whose values are tags between semicolons (label=tags on the
demo corpus); of any other label each value is one tag. The head is multi-label, a sigmoid a tag with binary
cross-entropy. A class is a set of tags that the corpus holds, and its probability follows from the tags' without a
further parameter: with logits z, a set's is the softmax over sets of the sum of z over its tags, so that the network is
evaluated and scored as any other. 265,984 parameters of the tower, 257 a tag, and a fixed number a tag and set. Recipe
as dcnn.
Its 256 numbers, trained on 90,000 songs with the 50 most used Last.fm tags: retrieval MAP .5508 on GTZAN, .3019 on FMA
small; k-NN .6759, .5332; linear softmax .7072, .5641 (tables 1 to 3).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .lazy import keras, layers, np
from .park import ParkSystem, TowerConfig, tower

if TYPE_CHECKING:
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks
    from ..training.training import Training


class System(ParkSystem):
    Config = TowerConfig

    def build(self, frames: int, n_mels: int, num_classes: int, sets: np.ndarray | None = None) -> keras.Model:
        """(frames, n_mels) in log10(1 + 10 * mel) -> (num_classes,) probabilities of sets.

        Args:
            sets: (num_classes, n_tags) of 0 and 1; each class a tag of its own when left out.
        """
        sets = np.eye(num_classes) if sets is None else sets
        inputs = keras.Input((frames, n_mels))
        x = tower(inputs, self.config.dropout)
        x = layers.Dense(sets.shape[1], name="tags")(x)
        sums = layers.Dense(num_classes, activation="softmax", use_bias=False, trainable=False, name="sets")
        model = keras.Model(inputs, sums(x), name="tag_dcnn")
        sums.set_weights([sets.T])
        return model

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..data.tags import tag_matrix
        from ..training import loop

        keras.utils.set_random_seed(training.seed)
        self._sets = tag_matrix(train.tag_sets)[1] if train.tag_sets else np.eye(num_classes, dtype=np.float32)
        self.model = self.started(self.build(train.length, train.n_mels, num_classes, self._sets))
        self.settle(train, training)
        tags = keras.Model(self.model.input, self.model.get_layer("tags").output)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        tags.compile(self.optimizer(training), loss)

        def validate() -> dict[str, float]:
            logits = np.concatenate([np.asarray(tags.predict_on_batch(x)) for x in val.batches()])
            proba, _ = self.scores(val.batches())
            return {"val_loss": float(loss(self._sets[val.y], logits)), **hooks.validate(proba)}

        own = dataclasses.replace(self.own(train, training), validate=validate if len(val) else None)
        return loop.fit(tags, train, val, training, hooks, own)

    def targets(self, train: ClipSet) -> np.ndarray:
        """Tags of each class, (num_classes, n_tags)."""
        return self._sets
