"""Runs as frames: what they hold, and what their comparison supports.

Every function takes the folder of the runs, or a `Study` that is open already, and
gives a DataFrame whose columns its docstring lists.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from igaku.lazy import attach as _attach

if _TYPE_CHECKING:
    from igaku.study.families import open_study as open_study
    from igaku.study.levels import strata as strata
    from igaku.study.lines import official as official
    from igaku.study.looping import loops as loops
    from igaku.study.overview import cards as cards
    from igaku.study.pairs import gates as gates
    from igaku.study.pairs import patterns as patterns
    from igaku.study.pairs import planning as planning
    from igaku.study.scoring import published as published
    from igaku.study.scoring import sections as sections
    from igaku.study.tokens import budget_curves as budget_curves
    from igaku.study.tokens import lengths as lengths
    from igaku.study.tokens import rescues as rescues
    from igaku.study.tokens import survival as survival

_HOMES = {
    "budget_curves": "igaku.study.tokens",
    "cards": "igaku.study.overview",
    "gates": "igaku.study.pairs",
    "lengths": "igaku.study.tokens",
    "loops": "igaku.study.looping",
    "official": "igaku.study.lines",
    "open_study": "igaku.study.families",
    "patterns": "igaku.study.pairs",
    "planning": "igaku.study.pairs",
    "published": "igaku.study.scoring",
    "rescues": "igaku.study.tokens",
    "sections": "igaku.study.scoring",
    "strata": "igaku.study.levels",
    "survival": "igaku.study.tokens",
}
__getattr__, __dir__ = _attach("igaku.study", _HOMES)
