"""Label columns whose values are several tags between semicolons: those named `tags` or `<something>_tags`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SEPARATOR = ";"


def holds_tags(column: str) -> bool:
    """Whether a label column is declared as tags, by its name; a semicolon in any other is a part of the name."""
    return column == "tags" or column.endswith("_tags")


def tags_of(label: str) -> list[str]:
    """`slow; minor;slow` to [minor, slow]."""
    return sorted({tag.strip() for tag in label.split(SEPARATOR)} - {""})


def tag_matrix(labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """All tags in order, and which label has which, (n_labels, n_tags) of 0 and 1, float32."""
    tags = sorted({tag for label in labels for tag in tags_of(label)})
    number = {tag: i for i, tag in enumerate(tags)}
    matrix = np.zeros((len(labels), len(tags)), np.float32)
    for row, label in enumerate(labels):
        matrix[row, [number[tag] for tag in tags_of(label)]] = 1
    return tags, matrix
