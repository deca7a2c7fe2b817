"""What scikit-learn has fitted for a system, in one file of skops: no pickle, and trusted types alone."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import base
from .lazy import np

FILE = "fitted.skops"


class FittedSystem(base.System):
    """A system that is nothing but what scikit-learn and NumPy have fitted: the attributes that `fitted` names."""

    def count_params(self) -> int:
        """Numbers in the arrays that are stored."""
        return size(self)

    def save(self, folder: Path) -> None:
        save(folder, self)

    def load(self, folder: Path) -> None:
        load(folder, self)


def shrinkage_lda(classes: int) -> Any:
    """Of standardised vectors: linear discriminants with the shrinkage of Ledoit and Wolf, equal priors."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    priors = np.full(classes, 1 / classes)
    return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=priors))


def size(system: Any) -> int:
    """Numbers in the arrays of what `save` writes."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(_state(system)))) as file:
        return sum(np.load(file.open(name)).size for name in file.namelist() if name.endswith(".npy"))


def save(folder: Path, system: Any) -> None:
    """Writes the attributes that `system.fitted` names."""
    import skops.io

    skops.io.dump(_state(system), folder / FILE)


def load(folder: Path, system: Any) -> None:
    """Sets what `save` wrote.

    Raises:
        InputError: There is no such file, it is damaged, or it names a type that is not trusted.
    """
    import skops.io

    if not (folder / FILE).is_file():
        raise InputError(
            f"The model has no {FILE}: an earlier version of this project trained it. Train it anew, or use `score`, "
            "`promote` or a server, where it runs the code that it carries."
        )
    try:
        state = skops.io.load(folder / FILE)
        vars(system).update({name: state[name] for name in system.fitted})
    except (TypeError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{FILE} of the model cannot be read: {error}") from error


def _state(system: Any) -> dict[str, Any]:
    return {name: getattr(system, name) for name in system.fitted}
