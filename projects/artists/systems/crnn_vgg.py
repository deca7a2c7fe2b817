"""The VGG-like CRNN that Nasrullah and Zhao mention and leave out: two or three convolutions before each pooling.

Card: 14,790,356 parameters with 20 artists. No published score. Sizes are those of their code, after VGG-16.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from . import crnn


@dataclasses.dataclass(frozen=True)
class Config(crnn.Config):
    __doc__ = crnn.Config.__doc__

    filters: str = "64,128,256,512,512"
    convolutions: str = "2,2,3,3,3"
    pool_time: str = "2,2,2,1,1"
    pool_bands: str = "2,2,2,4,4"
    dropout: float = 0.2


class System(crnn.System):
    Config = Config
    # Poolings are of this network's own five blocks.
    space: ClassVar = {name: spec for name, spec in crnn.System.space.items() if name != "pool_time"}
