"""What a training runs on, and what to do when a GPU stands idle."""

from __future__ import annotations

from pathlib import Path

import keras

from ..data.machine import cores

GPU_HINT = (
    "An NVIDIA device is here but TensorFlow sees none, so this runs on the CPU. PyPI's tensorflow has no CUDA: run "
    "`uv pip install -r requirements-gpu.txt` in an environment of your own, check `nvidia-smi`, then `mlflow run` "
    "with --env-manager=local."
)


def prepare(seed: int) -> None:
    """Seeds Python, NumPy and the backend; call before a network is built.

    The same seed on the same kind of CPU gives the same weights.
    """
    keras.utils.set_random_seed(seed)


def release() -> None:
    """Gives back what networks and their optimizers held, once nothing refers to them."""
    keras.utils.clear_session(free_memory=True)


def device() -> str:
    """`gpu:N` with the number of devices that the backend sees, or `cpu:N` with the number of cores that it may use."""
    gpus = keras.distribution.list_devices("gpu")
    return f"gpu:{len(gpus)}" if gpus else f"cpu:{cores()}"


def idle_gpu_hint() -> str | None:
    """What to do when an NVIDIA device is there and the backend sees none."""
    present = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()
    return GPU_HINT if present and device().startswith("cpu") else None
