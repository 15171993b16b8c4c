"""Figures of how long replies are, and where the token budget ended them.

A blank reply that the budget ended is censored: how long it would have been is not
known. Where no tokens are on record, the walls that blank replies stop at tell the
speed, and that is said to be inferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from igaku.figures import rows, style
from igaku.study.timing import NEAR, piles
from igaku.study.tokens import Thought, thought_in
from igaku.words import NO_REPLY, say

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

DRAWN = (
    "run", "label", "origin", "outcome", "blank", "max_tokens", "seconds",
    "completion_tokens", "reasoning_tokens", "reasoning_tokens_estimated",
)  # fmt: skip
LOOKS = {
    "with_text": style.Look(style.FAINT, "o"),
    "blank": style.Look(style.VERMILLION, ">"),
}
KEY = 120.0  # points above the axes that the key to the marks takes
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (2, 1)))


class Pile(NamedTuple):
    """Blank replies of one row that ended at one place: how many, of how many."""

    row: int
    at: float
    blank: int
    of: int
    max_tokens: int | None
    is_left: bool  # of its place, where fewer marks stand, its number is written

    @property
    def end(self) -> float:
        """Where its number ends on the axis: a doubling to the right at most."""
        return self.at if self.is_left or not self.blank else 1.45 * self.at


@rows.figure("run", "outcome", "blank")
def token_usage(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """What every reply took, one row a run: grey with text, vermillion blank.

    `frame` is of `igaku.load_runs`, or rows of it, with the columns run (a categorical
    orders the rows), outcome, blank, and seconds or completion_tokens; and where there
    are: label, max_tokens, reasoning_tokens. Tokens are drawn if every run has them,
    with the median share of thought in them beside the row, else seconds; a run with
    neither has no row. Dashed lines are walls: the budget where tokens are known, else
    the times at which blank replies pile up, with the speed that this implies. A reply
    of no length has no place on the axis, which says how many there are.
    """
    drawn = frame[[name for name in DRAWN if name in frame]]
    asked = drawn[drawn["outcome"] != "not_run"]
    unit = _unit(asked)
    known = asked[asked[unit].notna() & ~asked["outcome"].isin(NO_REPLY)]
    timed = known[known[unit].astype(float) > 0]
    names = [str(n) for n in style.order(timed["run"]) if (timed["run"] == n).any()]
    shares = {name: thought_in(timed[timed["run"] == name]) for name in names}
    is_told = unit == "completion_tokens"
    thoughts = {name: share for name, share in shares.items() if share and is_told}
    ax = rows.axes_for(ax, len(names), 0.6 + 0.15 * bool(thoughts))
    if not names:
        return rows.say_nothing(ax, lang)
    lanes = _name_rows(ax, asked, names, thoughts, lang)
    found = [
        pile
        for row, name in enumerate(names)
        for pile in _draw_replies(lanes, row, timed[timed["run"] == name], unit, lang)
    ]
    # From the shortest reply to beyond the last wall.
    ends = [*timed[unit].astype(float).clip(lower=1e-3), *(p.end for p in found)]
    rows.doublings(ax, min(ends) / 1.2, max(ends) * 1.45)
    levels = _draw_walls(lanes, found, unit, lang)
    rows.entitle(ax, "token_usage_title", lang, pad=8 + 24 * levels)
    guessed = any(thought.by == "character" for thought in thoughts.values())
    axis = say(f"{unit}_axis", lang, left=len(known) - len(timed), guessed=guessed)
    ax.set_xlabel(axis, loc="left")
    rows.key_above(ax, LOOKS, "reply", lang, markersize=5)
    return ax


def _name_rows(
    ax: Axes,
    asked: pd.DataFrame,
    names: list[str],
    thoughts: dict[str, Thought],
    lang: str,
) -> rows.Lanes:
    """Names the rows: beside each how many are blank, and how much was thought."""
    labels = rows.named(asked, lang)
    is_narrow, beside = rows.is_narrow(ax), []
    for name in names:
        blank = asked.loc[asked["run"] == name, "blank"].fillna(False)
        told = [say("blank_of", lang, blank=int(blank.sum()), asked=len(blank))]
        if thought := thoughts.get(name):
            told.append(say("thought_of", lang, **thought._asdict()))
        beside.append((" · " if is_narrow else "\n").join(told))
    heads = 2 if thoughts else 1
    lanes = rows.name_rows(ax, [labels[name] for name in names], beside, heads)
    for y, name in enumerate(names):
        if name in thoughts:
            rows.part_beside(ax, y, thoughts[name].share)
    return lanes


def _unit(asked: pd.DataFrame) -> str:
    if "completion_tokens" in asked:
        known = asked["completion_tokens"].notna()
        counted = known.groupby(asked["run"].astype(str)).any()
        if counted.all() or "seconds" not in asked:
            return "completion_tokens"
    rows.check("token_usage", asked, ["seconds"])
    return "seconds"


def _draw_replies(
    lanes: rows.Lanes, row: int, replies: pd.DataFrame, unit: str, lang: str
) -> Iterator[Pile]:
    """One run's replies, its blank ones lower, and where those pile up."""
    y = row + lanes.middle
    is_blank = replies["blank"].fillna(False).astype(bool)
    took = replies[unit].astype(float)
    kinds = (
        (took[~is_blank], y - 0.16 * is_blank.any(), LOOKS["with_text"]),
        (took[is_blank], y + 0.2, LOOKS["blank"]),
    )
    for amounts, place, look in kinds:
        if len(amounts):
            lanes.ax.scatter(
                amounts, place + _sway(amounts.to_numpy()), s=11, alpha=0.55,
                linewidth=0, zorder=3, **look._asdict(),
            )  # fmt: skip
    blank = took[is_blank]
    told = [*replies["max_tokens"].dropna()] if "max_tokens" in replies else []
    budget = int(told[0]) if told else None
    # They end at the budget, or else where their times pile up.
    places = [(float(pile.median()), len(pile)) for pile in piles(blank)]
    if unit != "seconds":
        known = () if budget is None else (budget,)
        places = [(float(at), int((blank >= at).sum())) for at in known]
    for at, n in places:
        before = int(blank.between(at / 1.8, at / NEAR).sum())
        after = int(blank.between(at * NEAR, at * 1.8).sum())
        pile = Pile(row, at, n, len(blank), budget, is_left=before <= after)
        _mark_pile(lanes.ax, y + 0.2, pile, lang)
        yield pile


def _sway(amounts: np.ndarray) -> np.ndarray:
    """How far each reply stands off its lane: the further, the more are like it."""
    import numpy as np

    logs = np.log10(np.maximum(amounts, 1e-3))
    edges = np.arange(logs.min() - 0.03, logs.max() + 0.09, 0.06)
    crowd, _ = np.histogram(logs, edges)
    share = crowd[np.digitize(logs, edges) - 1] / max(crowd.max(), 8)
    return 0.34 * rows.swaying(len(amounts)) * np.sqrt(share)


def _mark_pile(ax: Axes, y: float, pile: Pile, lang: str) -> None:
    """How many of a run's blank replies end here."""
    if not pile.blank:
        return
    by, ha = (-9, "right") if pile.is_left else (9, "left")
    rows.note(
        ax, (pile.at, y), say("pile_of", lang, blank=pile.blank, of=pile.of), (by, 0),
        xycoords="data", va="center", ha=ha, color=style.VERMILLION,
        path_effects=style.halo(), zorder=4,
    )  # fmt: skip


def _walls(found: list[Pile]) -> list[list[Pile]]:
    """Piles of all runs at one place and one budget are one wall."""
    walls: list[list[Pile]] = []
    for pile in sorted(found, key=lambda each: (each.max_tokens or 0, each.at)):
        first = walls[-1][0] if walls else None
        if first and pile.max_tokens == first.max_tokens and pile.at <= first.at * NEAR:
            walls[-1].append(pile)
        else:
            walls.append([pile])
    return sorted(walls, key=lambda wall: wall[0].at)


def _draw_walls(lanes: rows.Lanes, found: list[Pile], unit: str, lang: str) -> int:
    """A dashed line per wall, its name above; how many names stand on each other."""
    named = []
    for wall in _walls(found):
        weights = [pile.blank or 1 for pile in wall]
        told = zip(wall, weights, strict=True)
        at = sum(pile.at * weight for pile, weight in told) / sum(weights)
        lanes.dashed(at, None if unit == "seconds" else [p.row for p in wall])
        named.append((at, _wall_name(at, wall[0].max_tokens, unit, lang)))
    return rows.names_above(lanes.ax, named, 24, taken=KEY)


def _wall_name(at: float, max_tokens: int | None, unit: str, lang: str) -> str:
    """1,024 tokens, and the speed at which they took that long; or the time alone."""
    if max_tokens is None:
        return say("wall_of_time", lang, seconds=at)
    if unit == "completion_tokens":
        return f"max_tokens\n{max_tokens:,}"
    speed = say("wall_speed", lang, speed=max_tokens / at)
    return f"{say('wall_budget', lang, max_tokens=max_tokens)}\n{speed}"


# --- curves ---------------------------------------------------------------------------


@rows.figure("run", "x", "share", "low", "high")
def survival(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The share of replies still unfinished after so many tokens: Kaplan and Meier's.

    `frame` is of `igaku.study.survival`: run, x, share, low, high and, where there are,
    label, max_tokens, color. Equal curves are drawn once; what is left at the end of a
    line had not ended when the budget cut it.
    """
    curves = _curves(frame, ["x", "share"])
    ax = rows.axes_for(ax, 0, least=3.6, keys=3 * len(curves))
    _draw_curves(ax, frame, curves, "survival_end", lang, step="post")
    caps = sorted(set(frame.get("max_tokens", frame["x"][:0]).dropna().astype(int)))
    ax.set_xlim(0, 1.05 * max(frame["x"].max(), *caps, 0))
    for cap in caps:
        ax.axvline(cap, color=style.INK, linestyle=(0, (4, 3)), linewidth=0.9)
    names = [(float(cap), f"max_tokens {cap:,}") for cap in caps]
    levels = rows.names_above(ax, names, 12, ha="right")
    ax.set_xlabel(say("completion_tokens_axis", lang, left=0, guessed=False))
    ax.set_ylabel(say("survival_axis", lang))
    rows.entitle(ax, "survival_title", lang, pad=6 + 12 * levels)
    return ax


@rows.figure("run", "max_tokens", "accuracy", "low", "high", "blank")
def budget(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """What a smaller budget would have scored; dotted, what it would have left blank.

    `frame` is of `igaku.study.budget_curves`: run, max_tokens, accuracy, low, high,
    blank and, where there are, label, color. Assumed is that a budget only cuts
    replies short; the end of a line is the budget that the run had.
    """
    curves = _curves(frame, ["max_tokens", "accuracy", "blank"])
    ax = rows.axes_for(ax, 0, least=3.6, keys=3 * len(curves))
    _draw_curves(ax, frame, curves, "budget_end", lang)
    ax.set_xlabel(say("budget_axis", lang))
    ax.set_ylabel(say("budget_shares", lang))
    rows.entitle(ax, "budget_title", lang)
    return ax


def _draw_curves(
    ax: Axes,
    frame: pd.DataFrame,
    curves: list[tuple[list[str], pd.DataFrame]],
    end: str,
    lang: str,
    step: Any = None,
) -> None:
    """Each curve with its band, dotted what its third column says, named at its end."""
    looks = style.style_of(frame)
    marks: list[rows.Mark] = []
    for names, curve in curves:
        dash = DASHES[len(marks) % len(DASHES)]
        colour = looks[names[0]].color if len(names) == 1 else style.INK
        low, high = curve.pop("low"), curve.pop("high")
        x, y, *dotted = (curve[key] for key in curve)
        shape = f"steps-{step}" if step else "default"
        look: Any = {"color": colour, "drawstyle": shape}
        ax.plot(x, y, linestyle=dash, linewidth=1.6, **look)
        for line in dotted:
            ax.plot(x, line, linestyle=":", **look)
        ax.fill_between(x, low, high, step=step, color=colour, alpha=0.12, linewidth=0)
        labels = rows.named(frame, lang)
        text = rows.fitted(", ".join(labels[name] for name in names), 34, 4)
        last = say(end, lang, n=len(names), share=y.iloc[-1])
        shown = {"color": colour, "linestyle": dash}
        marks.append(rows.Mark(f"{text}\n{last}", x.iloc[-1], y.iloc[-1], shown))
    ax.set_ylim(0, 1.02)
    ax.set_xlim(left=0)
    rows.percent(ax.yaxis)
    rows.label_marks(ax, marks)


def _curves(
    frame: pd.DataFrame, keys: list[str]
) -> list[tuple[list[str], pd.DataFrame]]:
    """Each different curve with the runs that share it: six on one line hide five."""
    found: dict[bytes, tuple[list[str], pd.DataFrame]] = {}
    for name, curve in frame.groupby("run", sort=False, observed=True):
        drawn = curve[[*keys, "low", "high"]].astype(float)
        same = drawn[keys].round(9).to_numpy().tobytes()
        found.setdefault(same, ([], drawn))[0].append(str(name))
    return list(found.values())
