"""A script for a fresh process: loads a packaged model as anyone would, and asks it about its golden clips.

python -I fresh.py <model folder> <golden.npz> <answers.npz>
"""

from __future__ import annotations

import io
import sys
import time

import mlflow
import numpy as np
import pandas as pd
import soundfile

SONG_SECONDS = 60


def main(folder: str, golden: str, out: str) -> None:
    with np.load(golden, allow_pickle=False) as arrays:
        audio = [arrays[f"audio_{i}"].tobytes() for i in range(len(arrays["seconds"]))]
        classes = arrays["proba"].shape[1]
    model = mlflow.pyfunc.load_model(folder)
    rows, params = pd.DataFrame({"audio": audio}), {"top_k": classes, "embedding": True}
    answers = model.predict(rows, params=params)
    song = pd.DataFrame({"audio": [_song()]})
    model.predict(song)
    began = time.perf_counter()
    model.predict(song)
    speed = SONG_SECONDS / (time.perf_counter() - began)
    labels = sorted(answers["top_artists"][0])
    proba = np.zeros((len(audio), classes))
    for i, (names, values) in enumerate(zip(answers["top_artists"], answers["top_probabilities"], strict=True)):
        proba[i, [labels.index(name) for name in names]] = values
    embedding = np.array(list(answers["embedding"]))
    np.savez(out, proba=proba, labels=np.array(labels), embedding=embedding, speed=speed)


def _song() -> bytes:
    """A wav of noise, as long as a short song: what a golden clip takes says little about whole songs."""
    file, noise = io.BytesIO(), np.random.default_rng(0).normal(0, 0.1, SONG_SECONDS * 44100)
    soundfile.write(file, noise, 44100, format="WAV", subtype="PCM_16")
    return file.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
