"""Aliases follow the log: what has to be changed for them to say what it says."""

from __future__ import annotations

from collections.abc import Mapping

from .history import State

CHAMPION, CHALLENGER = "champion", "challenger"


def repairs(state: State, aliases: Mapping[str, str]) -> dict[str, str]:
    """Alias -> version to set, or empty to remove it; other aliases of the model are left alone.

    Args:
        aliases: Those that are set now, and their versions.
    """
    wanted = {CHAMPION: state.champion, CHALLENGER: state.challenger}
    return {alias: version for alias, version in wanted.items() if aliases.get(alias, "") != version}
