"""Runs as frames: what they hold, and what their comparison supports.

Every function takes the folder of the runs, or a `Study` that is open already, and
gives a DataFrame whose columns its docstring lists.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from igaku.lazy import attach as _attach

if _TYPE_CHECKING:
    from igaku.study.declared import standing
    from igaku.study.efforts import length_ratios
    from igaku.study.factors import contrasts, crossed, decided
    from igaku.study.families import open_study
    from igaku.study.levels import strata
    from igaku.study.lines import official
    from igaku.study.noise import plan, repeats
    from igaku.study.overview import cards
    from igaku.study.pairs import gates, patterns, planning
    from igaku.study.parting import partings
    from igaku.study.positions import orders, shuffles
    from igaku.study.scoring import published, sections
    from igaku.study.silent import silences
    from igaku.study.timing import clocks, foretold, reply_lengths
    from igaku.study.tokens import budget_curves, lengths, rescues, survival

_TOKENS = ("budget_curves", "lengths", "rescues", "survival")
_HOMES = {
    **dict.fromkeys(("clocks", "foretold", "reply_lengths"), "igaku.study.timing"),
    "length_ratios": "igaku.study.efforts",
    "open_study": "igaku.study.families",
    **dict.fromkeys(("contrasts", "crossed", "decided"), "igaku.study.factors"),
    "strata": "igaku.study.levels",
    "official": "igaku.study.lines",
    **dict.fromkeys(("plan", "repeats"), "igaku.study.noise"),
    "cards": "igaku.study.overview",
    **dict.fromkeys(("gates", "patterns", "planning"), "igaku.study.pairs"),
    **dict.fromkeys(("orders", "shuffles"), "igaku.study.positions"),
    **dict.fromkeys(("published", "sections"), "igaku.study.scoring"),
    "partings": "igaku.study.parting",
    "silences": "igaku.study.silent",
    "standing": "igaku.study.declared",
    **dict.fromkeys(_TOKENS, "igaku.study.tokens"),
}
__all__ = [*_HOMES]
__getattr__, __dir__ = _attach("igaku.study", _HOMES)
