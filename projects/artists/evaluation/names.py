"""How the metrics of a run are named; imports nothing that is slow to load."""

from __future__ import annotations

import re

# Metrics of a run are `<subset>/<level>_<name>`, curves `epoch/<name>`: MLflow's UI makes a section of each prefix.
_OLD_NAME = re.compile(r"(train|val|test)_((?:song|clip)(?:s|_).*|loss)|(epoch)_(.*)")
# Baselines, whose scores are `test/song_<score>_<name>`.
BASELINES = {
    "majority": "majority class", "format": "file format alone", "bandwidth": "bandwidth alone",
    "loudness": "loudness alone", "mfcc": "logistic regression on MFCC",
}  # fmt: skip
# Words in the name of a metric that is an error, or a number of answers that a deformation changes.
ERRORS = {"loss", "ece", "changed"}


def metric_name(name: str) -> str:
    """The name that a metric has today; runs, policies and commands of earlier versions have `test_song_f1`.

    Examples:
        >>> metric_name("test_song_f1"), metric_name("epoch_val_loss"), metric_name("train_seconds")
        ('test/song_f1', 'epoch/val_loss', 'train_seconds')
    """
    old = _OLD_NAME.fullmatch(name)
    return "/".join(part for part in old.groups() if part) if old else name


def lower_is_better(name: str) -> bool:
    """Whether the metric of a run with this name, such as `test/song_ece_calibrated`, is an error.

    Examples:
        >>> lower_is_better("test/song_log_loss"), lower_is_better("test/song_f1")
        (True, False)
    """
    return bool(ERRORS & set(re.split("[_/]", name)))
