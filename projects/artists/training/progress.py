"""The progress bar of an epoch: loss, last validation F1, clips a second, time left."""

from __future__ import annotations

import time

import keras
from tqdm import tqdm

from .checkpoints import State
from .training import Training


class EpochBar(keras.callbacks.Callback):
    """Counts clips; `left` is the time to the last allowed epoch, which early stopping can only shorten."""

    def __init__(self, state: State, training: Training, clips: int, batches: int) -> None:
        super().__init__()
        self._state, self._training, self._clips, self._batches = state, training, clips, batches

    def __enter__(self) -> EpochBar:
        name = f"epoch {self._state.epoch + 1}/{self._training.epochs}"
        self._bar = tqdm(total=self._clips, desc=name, unit=" clips", mininterval=0.5, dynamic_ncols=True)
        self._began, self._warm = time.perf_counter(), 0
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        done = min((batch + 1) * self._training.batch_size, self._clips)
        if batch == 0 and self._batches > 1:
            # The first batch compiles the network: no measure of what is to come.
            self._began, self._warm = time.perf_counter(), done
        self._bar.update(done - self._bar.n)
        if batch % 10 == 1 or batch + 1 == self._batches:
            self._bar.set_postfix_str(self._text(done, logs or {}), refresh=False)

    def _text(self, done: int, logs: dict[str, float]) -> str:
        last = self._state.history[-1] if self._state.history else {}
        parts = [f"loss {float(logs.get('loss', float('nan'))):.3f}"]
        if "val/clip_f1" in last:
            parts.append(f"val F1 {last['val/clip_f1']:.3f} clip, {last['val/song_f1']:.3f} song")
        if done > self._warm:
            rate = (done - self._warm) / (time.perf_counter() - self._began)
            left = self._clips - done + self._clips * (self._training.epochs - self._state.epoch - 1)
            parts.append(f"at most {tqdm.format_interval(left / rate)} left")
        return ", ".join(parts)
