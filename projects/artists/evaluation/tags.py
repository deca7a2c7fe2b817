"""Scores of classes that are sets of tags, by tag: a row has each tag with the probability of the sets that hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from ..data.tags import tag_matrix
from .metrics import check_scored


def per_tag(y_true: np.ndarray, proba: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """A row a tag, in order: tag, support, average_precision, roc_auc (NaN for a tag that all rows have, or none).

    Of class indices (n,) and probabilities (n, k); `classes` are k sets of tags between semicolons.

    Examples:
        >>> proba = np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> per_tag(np.array([0, 1]), proba, ["calm;piano", "calm"])[["tag", "support", "roc_auc"]].values.tolist()
        [['calm', 2, nan], ['piano', 1, 1.0]]
    """
    y_true, proba = check_scored(y_true, proba)
    tags, matrix = tag_matrix(classes)
    truth, scores = matrix[y_true], proba @ matrix
    known = (truth.sum(0) > 0) & (truth.sum(0) < len(truth))

    table = pd.DataFrame({"tag": tags, "support": truth.sum(0).astype(int)})
    for name, score in {"average_precision": average_precision_score, "roc_auc": roc_auc_score}.items():
        table[name] = [score(truth[:, i], scores[:, i]) if known[i] else np.nan for i in range(len(tags))]
    return table


def scores(y_true: np.ndarray, proba: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Means over the tags that some rows have and some have not; nothing where there is no such tag.

    Examples:
        >>> scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), ["calm;piano", "calm"])
        {'tag_map': 1.0, 'tag_auc': 1.0}
    """
    table = per_tag(y_true, proba, classes).dropna()
    if table.empty:
        return {}
    return {"tag_map": float(table["average_precision"].mean()), "tag_auc": float(table["roc_auc"].mean())}
