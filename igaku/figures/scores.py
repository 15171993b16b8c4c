"""Figures of scores: what each run had right, what its size buys, and a design."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from igaku.figures import rows, style
from igaku.figures.levels import intervals
from igaku.words import PASS_MARK, formatted, say, word

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LABEL = 0.35  # of the axis that a label takes
# What holds of a run whose frame does not say.
USUAL: dict[str, Any] = {"status": "OK", "counted": True, "role": "", "origin": ""}
TALL = 0.86  # of a lane of a design, that its bars take together
FATES = {  # of a design's replies, from the left in each bar
    "lost": style.Look(style.VERMILLION, "s"),
    "wrong": style.Look(style.RULE, "s"),
    "right": style.Look("#56B4E9", "s"),
}


@rows.figure("run", "right", "asked", "accuracy", "low", "high")
def accuracy(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The share of right answers of each run, with its Wilson interval.

    `frame` is of `igaku.runs`: run, right, asked, accuracy, low, high and, where there
    are, label, status, counted, role, origin, color, marker. References stand below a
    line; a run that is not counted is hollow.
    """
    frame = _completed(frame)
    frame = frame.sort_values("role", key=lambda r: r == "reference", kind="stable")
    ax = rows.axes_for(ax, len(frame), 0.34)
    looks = style.style_of(frame)
    scores: list[Any] = frame.to_dict("records")
    beside = [_score_of(row, lang) for row in scores]
    lanes = rows.name_rows(ax, [*rows.named(frame, lang).values()], beside)
    for y, row in enumerate(scores):
        look = looks[str(row["run"])]
        if row["role"] == "reference":
            look = look._replace(color=style.FAINT)
        face = look.color if row["counted"] else style.PAPER
        intervals(ax, [row], [y + lanes.middle], look, face)
    measured = int((frame["role"] != "reference").sum())
    if 0 < measured < len(frame):
        ax.axhline(measured - 0.5, color=style.FAINT, linewidth=0.8)
    ax.set_xlim(0, 1)
    if not (frame["origin"] == "lab").all():  # its exam has no pass mark
        lanes.dashed(PASS_MARK)
        rows.above(ax, PASS_MARK, say("pass_mark", lang, mark=PASS_MARK))
    rows.percent(ax.xaxis)
    ax.set_xlabel(say("accuracy_axis", lang))
    rows.entitle(ax, "accuracy_title", lang, pad=18)
    return ax


def _completed(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs with what the frame may leave out."""
    told = frame.assign(**{n: v for n, v in USUAL.items() if n not in frame})
    return told.assign(counted=told["counted"].fillna(True).astype(bool))


def _score_of(row: dict[str, Any], lang: str) -> str:
    """286/400 = 71.5%, and what keeps a run from being read like the others."""
    told = f"{row['right']}/{row['asked']} = {formatted(row['accuracy'], 'share')}"
    notes = []
    if row["status"] != "OK":
        notes.append(word("status", row["status"], lang))
    if not row["counted"]:
        notes.append(say("not_counted", lang))
    return f"{told}  {', '.join(notes)}" if notes else told


@rows.figure("run", "size_gb", "accuracy", "low", "high")
def memory(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The size of the weights against the share of right answers.

    `frame` is of `igaku.runs`: run, size_gb, accuracy, low, high and, where there are,
    label, status, counted, exam, asked, color, marker. Of one exam only, that of the
    first; runs that are unfinished or not counted are left out if two others remain,
    and hollow if not. A run without a size is not drawn.
    """
    drawn = sized(frame)
    is_crowded = _is_crowded(drawn["size_gb"].astype(float))
    below = 0.2 * len(drawn) * is_crowded
    ax = rows.axes_for(ax, 0, least=3.4 + below, keys=2 * len(drawn))
    if drawn.empty:
        return rows.say_nothing(ax, lang)
    looks, most = style.style_of(drawn), float(drawn["size_gb"].max())
    named = drawn.assign(label=[*rows.named(drawn, lang).values()])
    runs: list[Any] = named.to_dict("records")
    marks = [_size_mark(ax, row, looks[str(row["run"])], most, lang) for row in runs]
    sizes, ends = drawn["size_gb"].astype(float), drawn[["low", "high"]].to_numpy()
    room = 0.1 * (sizes.max() - sizes.min()) or 0.1 * most
    ax.set_xlim(sizes.min() - room, sizes.max() + room)
    edge = 0.15 * (ends.max() - ends.min()) or 0.05
    ax.set_ylim(max(0, ends.min() - edge), min(1, ends.max() + edge))
    rows.percent(ax.yaxis)
    unit, factor = _unit(most)
    ax.xaxis.set_major_formatter(lambda value, _: f"{factor * value:g}")
    if is_crowded:
        rows.key_below(ax, marks, 1 if rows.is_narrow(ax) else 2)
    else:
        rows.label_marks(ax, marks, is_inside=True, drop=14)
    ax.set_xlabel(say("memory_axis", lang, unit=unit))
    ax.set_ylabel(say("accuracy_axis", lang))
    rows.entitle(ax, "memory_title", lang)
    return ax


def _is_crowded(sizes: pd.Series) -> bool:
    """Whether a label beside its mark would stand on the line of another run."""
    steps = sizes.sort_values().diff().dropna()
    return bool((steps < LABEL * (sizes.max() - sizes.min())).any())


def sized(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that the figure compares: of one exam, and whole where there are two."""
    known = _completed(frame).dropna(subset=["size_gb", "accuracy"])
    if "exam" in known and len(known):
        known = known[known["exam"] == known["exam"].iloc[0]]
    whole = known[known["counted"] & (known["status"] == "OK")]
    return whole if len(whole) > 1 else known


def _size_mark(
    ax: Axes, row: dict[str, Any], look: style.Look, most: float, lang: str
) -> rows.Mark:
    """A run at its true size, and what stands beside: size, share, how much smaller."""
    x, y = float(row["size_gb"]), float(row["accuracy"])
    is_whole = row["counted"] and row["status"] == "OK"
    face = look.color if is_whole else style.PAPER
    shown: dict[str, Any] = look._asdict() | {"markerfacecolor": face}
    span = [row["low"], row["high"]]  # above the labels, which may hide no limit
    ax.plot([x, x], span, color=look.color, linewidth=2, zorder=6)
    ax.plot([x], [y], markersize=7, zorder=7, clip_on=False, **shown)
    unit, factor = _unit(most)
    text = say(
        "memory_label", lang, size=factor * x, unit=unit, accuracy=y,
        smaller=1 - x / most,
    )  # fmt: skip
    name = rows.fitted(row["label"])
    return rows.Mark(f"{name}\n{text}", x, y, shown)


def _unit(most: float) -> tuple[str, float]:
    """GB, or MB where every model is a small one; and how many of them make a GB."""
    return ("GB", 1.0) if most >= 1 else ("MB", 1000.0)


# --- a design -------------------------------------------------------------------------


@rows.figure("run", "effort", "budget", "n", "lost", "right")
def crossed(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """What became of the replies: one lane a budget and effort, one bar a model.

    `frame` is of `igaku.study.crossed`, of one design: run, effort, budget, n, lost,
    right and, where there is, label. Bars are the shares of n that were lost, answered
    wrong and answered right; equal bars in a lane: the model made no difference.
    """
    drawn = frame.sort_values("budget", kind="stable")
    lanes = drawn.groupby(["budget", "effort"], sort=False)
    order = list(drawn[["budget", "effort"]].drop_duplicates().itertuples(index=False))
    most = max(len(part) for _, part in lanes)
    ax = rows.axes_for(ax, len(order), 0.24 * most + 0.06)
    names = [say("crossed_lane", lang, budget=b, effort=e) for b, e in order]
    placed = rows.name_rows(ax, names, [""] * len(order))
    labels = rows.named(drawn, lang)
    tall = TALL * (0.5 - placed.top) / most
    for y, key in enumerate(order):
        for i, row in enumerate(lanes.get_group(key).to_dict("records")):
            top = y + placed.top + (1 - TALL) * (0.5 - placed.top) / 2
            label = rows.fitted(labels[str(row["run"])], lines=1)
            counts = {"lost": row["lost"], "right": row["right"]}
            counts["wrong"] = row["n"] - row["lost"] - row["right"]
            told = say("crossed_bar", lang, label=label, **counts)
            middle, start = top + (i + 0.5) * tall, 0.0
            for kind, look in FATES.items():
                share = counts[kind] / row["n"]
                ax.barh(middle, share, 0.9 * tall, start, color=look.color, linewidth=0)
                start += share
            rows.note(
                ax, (0, middle), told, (4, 0), va="center", color=style.INK,
                path_effects=style.halo(),
            )  # fmt: skip
    ax.set_xlim(0, 1)
    rows.percent(ax.xaxis)
    ax.set_xlabel(say("crossed_axis", lang))
    rows.key_above(ax, FATES, "crossed", lang)
    rows.entitle(ax, "crossed_title", lang, pad=22)
    return ax
