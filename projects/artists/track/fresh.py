"""A script for a fresh process: loads a packaged model as anyone would, and asks it about its golden clips.

python -I fresh.py <model folder> <golden.npz> <answers.npz>
"""

from __future__ import annotations

import sys
import time

import mlflow
import numpy as np
import pandas as pd


def main(folder: str, golden: str, out: str) -> None:
    with np.load(golden, allow_pickle=False) as arrays:
        audio = [arrays[f"audio_{i}"].tobytes() for i in range(len(arrays["seconds"]))]
        classes = arrays["proba"].shape[1]
    model = mlflow.pyfunc.load_model(folder)
    rows, params = pd.DataFrame({"audio": audio}), {"top_k": classes, "embedding": True}
    model.predict(rows, params=params)
    began = time.perf_counter()
    answers = model.predict(rows, params=params)
    taken = time.perf_counter() - began
    labels = sorted(answers["top_artists"][0])
    proba = np.zeros((len(audio), classes))
    for i, (names, values) in enumerate(zip(answers["top_artists"], answers["top_probabilities"], strict=True)):
        proba[i, [labels.index(name) for name in names]] = values
    np.savez(
        out, proba=proba, labels=np.array(labels), embedding=np.array(list(answers["embedding"])), seconds_taken=taken
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
