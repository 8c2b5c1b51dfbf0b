"""The analysers that the specialist engine is made of: those that ship, and third-party ones that are allowed.

Third-party analysers come by the entry-point group ``watchfloor.analysers``; only those that the setting
``analysers_allowed`` names are ever imported. One that cannot be loaded stops the start: an analyser that is silently
missing would make "nothing found" of what nobody looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Final

from watchfloor_agents.investigation.analysers import ANALYSERS
from watchfloor_agents.investigation.engine import Analyser
from watchfloor_agents.investigation.guarded import Guarded
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.plugins import find_entries, shown_setting

GROUP: Final = "watchfloor.analysers"


def load_analysers(allowed: Sequence[str]) -> tuple[Analyser, ...]:
    """Those that ship, then the allowed ones in the order given.

    Raises `ConfigurationError` with every one that is not installed, is installed twice, cannot be loaded, or takes the
    name of another.
    """
    entries, problems = find_entries(GROUP, allowed, "analyser")
    taken = {one.name for one in ANALYSERS}
    found: list[Analyser] = []
    for entry in entries:
        if entry.name in taken:
            problems.append(Problem(f"analyser {entry.name!r} has the name of one that ships; rename it"))
            continue
        try:
            found.append(Guarded(_loaded(entry)))
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return (*ANALYSERS, *found)


def _loaded(entry: EntryPoint) -> Analyser:
    try:
        analyser = entry.load()()
    except Exception as error:  # someone else's code: whatever it raises, the start stops and says so
        raise ConfigurationError(
            f"analyser {entry.name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}; "
            f"mend it or take it out of {shown_setting('analysers_allowed')}"
        ) from error
    if not isinstance(analyser, Analyser):
        raise ConfigurationError(
            f"{entry.value} is no analyser: name, version, questions and analyse were expected, "
            f"found {type(analyser).__name__}"
        )
    if analyser.name != entry.name:
        raise ConfigurationError(
            f"the entry point {entry.name!r} gives an analyser that calls itself {analyser.name!r}; the two must agree"
        )
    return analyser
