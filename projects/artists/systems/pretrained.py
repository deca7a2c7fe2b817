"""The tower's weights out of a Keras 2 HDF5 file, such as the one that Park et al. publish.

The file is a stranger's: nothing of it is executed, no link is followed, and every array must have the shape and type
that the network expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from ..errors import InputError

MOST_BYTES = 100 * 2**20
KINDS = (("conv1d", ("kernel", "bias")), ("batch_normalization", ("gamma", "beta", "moving_mean", "moving_variance")))
Shape = tuple[int, ...]


def read_tower(path: Path, shapes: Sequence[Sequence[Shape]]) -> list[list[np.ndarray]]:
    """Weights of convolution 1, normalisation 1, convolution 2 and so on.

    Args:
        shapes: Of the weights of each of these layers, in Keras' order.

    Raises:
        InputError: No such file, no HDF5, or not these layers with these shapes.
    """
    path = path.expanduser()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(_message(path, f"it is larger than {MOST_BYTES >> 20} MiB"))
        with h5py.File(path, "r") as file:
            root = _group(file, "model_weights") or file
            return [_layer(path, root, i, wanted) for i, wanted in enumerate(shapes)]
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0][:200]
        raise InputError(_message(path, reason)) from error


def _layer(path: Path, root: h5py.Group, i: int, shapes: Sequence[Shape]) -> list[np.ndarray]:
    """The weights of layer i, of the names that Keras 2 gives them."""
    kind, names = KINDS[i % 2]
    layer = f"{kind}_{i // 2 + 1}"
    arrays = []
    for name, shape in zip(names, shapes, strict=True):
        place = f"{layer}/{layer}/{name}:0"
        data = _dataset(root, place)
        if data is None:
            raise InputError(_message(path, f"it has no {place}"))
        if data.shape != tuple(shape) or data.dtype.kind != "f":
            reason = f"{place} is {data.dtype} {data.shape}, the tower has floats {tuple(shape)}"
            raise InputError(_message(path, reason))
        array = data[()].astype(np.float32)
        if not np.isfinite(array).all() or (name == "moving_variance" and (array < 0).any()):
            raise InputError(_message(path, f"{place} holds values that no training gives"))
        arrays.append(array)
    return arrays


def _group(parent: h5py.Group, name: str) -> h5py.Group | None:
    """A group that lies in the file itself."""
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        return None
    child = parent.get(name)
    return child if isinstance(child, h5py.Group) else None


def _dataset(root: h5py.Group, place: str) -> h5py.Dataset | None:
    """An array that lies in the file itself: a link, or storage elsewhere, could read any file of this machine."""
    *groups, name = place.split("/")
    for group in groups:
        root = _group(root, group)
        if root is None:
            return None
    if not isinstance(root.get(name, getlink=True), h5py.HardLink):
        return None
    data = root.get(name)
    return data if isinstance(data, h5py.Dataset) and not data.external and not data.is_virtual else None


def _message(path: Path, reason: str) -> str:
    return (
        f"pretrained={path} cannot be used: {reason}. Give the HDF5 file of a Park et al. network with 128 mel bands, "
        "for example model_siamese_10000.h5 of their repository."
    )
