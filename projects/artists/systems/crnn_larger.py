"""The larger CRNN that Nasrullah and Zhao mention and leave out: a fifth block, up to 512 filters, time kept longer.

Card: 3,975,444 parameters with 20 artists. No published score ("did not show substantial performance gain for the
computational cost"). Sizes are those of their code: time becomes an eighth, where the crnn leaves a sixteenth.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from . import crnn


@dataclasses.dataclass(frozen=True)
class Config(crnn.Config):
    __doc__ = crnn.Config.__doc__

    filters: str = "64,128,256,512,512"
    convolutions: str = "1,1,1,1,1"
    pool_time: str = "2,2,2,1,1"
    pool_bands: str = "2,2,2,4,4"


class System(crnn.System):
    Config = Config
    # Poolings are of this network's own five blocks.
    space: ClassVar = {name: spec for name, spec in crnn.System.space.items() if name != "pool_time"}
