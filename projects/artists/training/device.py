"""What a training runs on, and what to do when a GPU stands idle."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import keras

from ..data.machine import cores, private_mb

GPU_HINT = (
    "An NVIDIA device is here but TensorFlow sees none, so this runs on the CPU. PyPI's tensorflow has no CUDA: run "
    "`uv pip install -r requirements-gpu.txt` in an environment of your own, check `nvidia-smi`, then `mlflow run` "
    "with --env-manager=local."
)

# Seconds between two samples of memory, and how many times as long as a sample takes.
BETWEEN, REST = 0.1, 100


def release() -> None:
    """Gives back what networks and their optimizers held, once nothing refers to them."""
    keras.utils.clear_session(free_memory=True)


def backend() -> str:
    """The package that Keras computes with: tensorflow, jax or torch."""
    return keras.config.backend()


def device() -> str:
    """`gpu:N` with the number of devices that the backend sees, or `cpu:N` with the number of cores that it may use."""
    gpus = keras.distribution.list_devices("gpu")
    return f"gpu:{len(gpus)}" if gpus else f"cpu:{cores()}"


def idle_gpu_hint() -> str | None:
    """What to do when an NVIDIA device is there and the backend sees none."""
    present = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()
    return GPU_HINT if present and device().startswith("cpu") else None


class PeakMemory:
    """The most private memory of this process in MiB, `mb`, that a thread has seen from `with` on to its end.

    An epoch's own peak is gone when the epoch is over. Sampling takes one part in `REST` of a core at most: elsewhere
    than on Linux a sample is slow.
    """

    def __enter__(self) -> PeakMemory:
        self.mb, self._over = private_mb(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.mb = max(self.mb, private_mb())

    def _watch(self) -> None:
        rest = 0.0
        while not self._over.wait(rest):
            began = time.perf_counter()
            self.mb = max(self.mb, private_mb())
            rest = max(BETWEEN, REST * (time.perf_counter() - began))
