"""Modules that are imported when they are first used.

Options are declared beside the network that has them, and `--help` and wrong values are answered from there: nobody
should wait ten seconds for TensorFlow, or need to have it, to read them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if TYPE_CHECKING:
    import keras
    import numpy as np
    from keras import layers, ops
else:
    keras, layers, ops, np = map(_Lazy, ("keras", "keras.layers", "keras.ops", "numpy"))

__all__ = ["keras", "layers", "np", "ops"]
