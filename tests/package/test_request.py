"""What a request may name: files below the roots alone, and no name breaks the rest of a request."""

from __future__ import annotations

import pytest

from projects.artists.errors import InputError
from projects.artists.package.request import Gate


@pytest.mark.parametrize("given", ["x" * 5000, "x/" * 3000 + "y", "x" * 300, "\ud800", "a\0b", ".", "nothing"])
def test_a_name_that_no_file_can_have_is_an_error_of_its_row(tmp_path, given):
    with pytest.raises(InputError, match="there is no such file"):
        Gate((tmp_path,)).path(given)


def test_a_file_below_a_root_is_found_and_one_outside_is_not_told(tmp_path):
    (tmp_path / "music").mkdir()
    for place in (tmp_path, tmp_path / "music"):
        (place / "a.wav").touch()
    assert Gate((tmp_path / "music",)).path("a.wav") == tmp_path / "music" / "a.wav"
    with pytest.raises(InputError, match="not below a folder"):
        Gate((tmp_path / "music",)).path("../a.wav")
