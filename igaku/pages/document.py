"""The document: what the runs show, once, as a page, as Markdown and as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from igaku import paths
from igaku.pages import facts as told
from igaku.pages.crossed import (
    as_asked,
    cell_table,
    contrast_table,
    design,
    effort_or_bits,
)
from igaku.pages.export import write_tables
from igaku.pages.facts import Facts, facts_of
from igaku.pages.html import Table, markdown, page
from igaku.pages.index import marks, state
from igaku.pages.silence import rescues, silence, timing
from igaku.pages.variants import shared, variants
from igaku.study.declared import standing
from igaku.study.families import Study
from igaku.words import formatted, is_missing, labelled
from igaku.writing import put

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLES, FIGURES = "report/tables", "report/figures"
DPI = 144
BESIDE = "walls"  # the figure that stands beside words


@dataclass(frozen=True)
class Picture:
    """A figure with the text that stands in for it, drawn when it is asked for."""

    name: str
    figure: str
    frame: pd.DataFrame
    alt: str
    lang: str

    @cached_property
    def wide(self) -> bytes:
        """The PNG for a window."""
        return self._png(narrow=False)

    @property
    def slim(self) -> bytes:
        """The PNG for a phone."""
        return self._png(narrow=True)

    def _png(self, narrow: bool) -> bytes:
        from igaku import figures
        from igaku.figures import style

        is_beside = self.name == BESIDE and not narrow
        with style.context(self.lang, narrow=narrow):
            ax = _compact(self.frame) if is_beside else None
            drawn = getattr(figures, self.figure)(self.frame, ax=ax, lang=self.lang)
            if is_beside:
                drawn.set_title("", loc="left")  # the words beside it say so
            return _png_of(drawn)


def write(study: Study) -> Path:
    """Write `report.html`, `report.md`, tables and figures beside the runs; the page.

    Files of an earlier report are replaced.
    """
    folder = study.folder or paths.OUTPUTS
    facts = facts_of(study)
    values = contents(facts)
    for picture in values["pictures"].values():
        target = folder / FIGURES / f"{picture.name}.png"
        put(target, picture.wide)
    values["files"] = write_tables(facts, folder / TABLES) if study.runs else []
    put(folder / "report.md", text(study.lang, values))
    title = f"igaku: {values['heading']}"
    target = folder / "report.html"
    put(target, page("report.j2", study.lang, title, **_counting(values)))
    return target


def text(lang: str, values: dict[str, Any]) -> str:
    """The document as Markdown, which names its pictures and draws none."""
    return markdown("report.j2", lang, **_counting(values))


def _counting(values: dict[str, Any]) -> dict[str, Any]:
    """The same values, with a counter of tables and one of figures."""
    counters = {"table": count(1), "figure": count(1)}
    return values | {"number": lambda kind: next(counters[kind])}


def contents(facts: Facts) -> dict[str, Any]:
    """Everything that the template puts in order."""
    overturns = facts.audit["overturns"].astype(bool)
    notes = list(facts.audit.loc[~overturns, "text"])
    alarms = list(facts.audit.loc[overturns, "text"])
    references = list(facts.runs.index[facts.runs["role"] == "reference"])
    either = {"alarms": alarms, "notes": notes,
              "references": score_table(facts, references)}  # fmt: skip
    if not facts.main:
        heading = facts.say("report_empty_title")
        return either | {"heading": heading, "main": None, "pictures": {}}
    known = told.evidence(facts.pairs)
    return either | {
        "heading": _title(facts), "asked": told.asked(facts),
        "declared": standing(facts.study),
        "is_declared": facts.study.declaration is not None,
        "marks": marks(facts.study),
        "kinds": list(facts.runs["origin"].unique()),
        "answers": list(_answers(facts)), "as_asked": as_asked(facts),
        "cells": cell_table(facts), "contrasts": contrast_table(facts),
        "main": score_table(facts, facts.main),
        "apart": score_table(facts, facts.apart),
        "walls": _walls(facts), "pairs": pair_table(facts, known),
        "power": list(told.power(facts)), "rescues": [*timing(facts), *rescues(facts)],
        "all_pairs": pair_table(facts, facts.pairs), "official": _official(facts),
        "strata": _strata(facts), "findings": told.findings(facts),
        "shared": shared(facts), "variants": list(variants(facts)),
        "limits": list(_limits(facts)), "methods": _methods(facts),
        "readings": facts.say("read_readings", runs=facts.runs),
        "sized": (len(_sized(facts)), len(facts.finished)),
        "pictures": pictures(facts),
    }  # fmt: skip


def _answers(facts: Facts) -> Iterator[tuple[str, str, str | None]]:
    """What the first screen says, each with the name of the figure beside it."""
    if crossed := effort_or_bits(facts):
        yield (*crossed, "crossed")
    yield (*told.difference(facts), None)
    yield (*silence(facts), "walls")
    yield facts.say("head_open"), told.still_open(facts), None


def _title(facts: Facts) -> str:
    bases = [facts.study.run(name).card.get("base_model") for name in facts.main]
    known = [str(base).split("/")[-1] for base in bases if base]
    base = max(known, key=known.count, default=None)
    return facts.say("report_title", base=base)


# --- tables ---------------------------------------------------------------------------


def score_table(facts: Facts, names: Any) -> Table | None:
    """Runs with their scores first, then what their cards say."""
    frame = pd.DataFrame([_score_row(facts, facts.runs.loc[name]) for name in names])
    constant = (
        ["max_tokens", "reasoning_effort"]
        if names == facts.main
        else list(frame.columns[-4:])
    )
    empty = [name for name in frame if frame[name].isna().all()]
    return facts.table(frame.drop(columns=list({*constant, *empty})))


def _score_row(facts: Facts, row: Any) -> dict[str, Any]:
    name, place = row["run"], facts.places.get(row["run"])
    label = facts.marked(name)
    if place:  # where all budgets are alike, labels need not tell them
        label = f"{place}. {labelled(told.short_label(facts, name), row['identity'])}"
    same, told_state = facts.places.get(row["same_as"]), state(row, facts.study.lang)
    if same:
        told_state = facts.say("state_same", state=told_state, place=same)
    return {
        "label": label, "accuracy": row["accuracy"],
        "score": f"{row['right']}/{row['asked']}",
        "interval": told.interval(row, "share"), "lost": row["lost"],
        "state": told_state, "max_tokens": row["max_tokens"],
        "reasoning_effort": _effort(facts, row),
        "format": told.brief(facts.study, name, "format"),
        "quantization": told.brief(facts.study, name, "quantization"),
        "size_gb": row["size_gb"], "hf_downloads": row["hf_downloads"],
    }  # fmt: skip


def _effort(facts: Facts, row: Any) -> str | None:
    """The effort a run was told; of a recorded one it is not known whether it was."""
    if is_missing(row["reasoning_effort"]):
        is_known = row["origin"] != "recorded"
        return facts.say("effort_default") if is_known else None
    return str(row["reasoning_effort"])


def pair_table(facts: Facts, pairs: pd.DataFrame) -> Table | None:
    """Pairs with difference, interval, counts and p-values.

    Verdicts, that is the adjusted p-values, stand with the pairs under test alone.
    """
    shown = _named(pairs, facts.marked)
    is_tested = shown["family"] == "finished"
    for name in ("adjusted", "not_worse_adjusted"):
        shown[name] = shown[name].where(is_tested)
    rows = told.rows_of(pairs)
    shown["interval"] = [told.interval(row, "points") for row in rows]
    is_mixed = pairs["family"].nunique() > 1
    counts = ["family", "flips"] if is_mixed else ["only_reference", "only_candidate"]
    kept = ["candidate", "reference", "n", "difference", "interval", *counts,
            "pvalue", "adjusted", "not_worse_adjusted"]  # fmt: skip
    return facts.table(shown[kept])


def _named(pairs: pd.DataFrame, name: Callable[[str], str]) -> pd.DataFrame:
    """Pairs with labels in place of the names of their runs."""
    return pairs.assign(**{side: pairs[side].map(name) for side in told.PAIR})


def _walls(facts: Facts) -> Table | None:
    """The walls with what they let one infer; without a budget, the walls alone."""
    found = facts.walls.rename(columns={"replies": "at_wall"})
    keys = ["run", "seconds"]
    more = ["at_once", "slower", "finished", "median", "longest"]
    found = found.merge(facts.frame("clocks")[[*keys, *more]], on=keys, how="left")
    named = found.assign(run=found["run"].map(facts.marked))
    return facts.table(named.rename(columns={"run": "label"}))


def _official(facts: Facts) -> Table | None:
    """The ministry's criterion, a row a run: points of both parts and 禁忌 choices."""
    found = facts.frame("official").set_index("run")
    keys = ["part", "points", "possible", "line"]
    told = [
        f"{points} (≤ {line})" if part == "kinki" else f"{points}/{of} (≥ {line})"
        for part, points, of, line in found[keys].to_numpy()
    ]
    wide = found.assign(told=told).pivot(columns="part", values="told")
    wide = wide.reindex(found.index.unique(), columns=["compulsory", "rest", "kinki"])
    passed = found.query("part == 'total'")["passed"]
    wide.insert(0, "verdict", passed.map({True: "pass", False: "fail"}))
    wide.insert(0, "label", wide.index.map(facts.marked))
    return facts.table(wide)


def _strata(facts: Facts) -> Table | None:
    """Accuracy by stratum of the finished runs, specialities left to the CSV."""
    found = facts.frame("strata").query("stratum != 'speciality'")
    found = found[found["run"].isin(facts.done)]
    if found.empty:
        return None
    keys = ["stratum", "level", "n"]
    wide = found.pivot_table(index=keys, columns="run", values="accuracy", sort=False)
    shares = wide.map(lambda value: formatted(value, "share")).reset_index()
    return facts.table(shares.rename(columns={n: facts.marked(n) for n in facts.done}))


# --- figures --------------------------------------------------------------------------


def _compact(frame: pd.DataFrame) -> Axes:
    """Axes for a figure that stands beside words, its rows as low as can be read."""
    import matplotlib.pyplot as plt

    is_told = frame["completion_tokens"].notna().any()  # then a row has two lines
    height = 1.6 + (0.56 if is_told else 0.32) * frame["run"].nunique()
    return plt.subplots(figsize=(7.6, height), layout="tight")[1]


def pictures(facts: Facts) -> dict[str, Picture]:
    """Each figure that has something to show, with what is drawn and told of it."""
    runs = facts.runs.reset_index(drop=True)
    main = facts.runs.loc[list(facts.main)].reset_index(drop=True)
    replies, official = _replies(facts), facts.frame("official")
    parts = facts.frame("sections").query("run in @facts.main")
    pairs = _named(told.evidence(facts.pairs), facts.label)
    cells, sized = design(facts), _sized(facts)
    lengths = facts.say("alt_lengths", runs=_outside(facts, "lengths"))
    walls = sorted(facts.walls["seconds"])
    each = (
        ("crossed", "crossed", cells, facts.say("alt_crossed", cells=cells)),
        (BESIDE, "token_usage", replies,
         facts.say("alt_walls", runs=_of(runs, replies), walls=walls)),
        ("forest", "forest", pairs, facts.say("alt_forest", pairs=pairs)),
        ("accuracy", "accuracy", main, facts.say("alt_score", runs=main)),
        ("official", "verdict", official,
         facts.say("alt_official", runs=_of(runs, official))),
        ("sections", "sections", parts,
         facts.say("alt_sections", runs=list(_cells(parts)))),
        ("survival", "survival", _outside(facts, "survival"), lengths),
        ("budget", "budget", _outside(facts, "budget_curves"), lengths),
        ("memory", "memory", sized, facts.say("alt_size", runs=sized)),
    )  # fmt: skip
    shown = (Picture(*about, facts.study.lang) for about in each)
    return {picture.name: picture for picture in shown if not picture.frame.empty}


def _outside(facts: Facts, name: str) -> pd.DataFrame:
    """A frame of the study without the runs of a design that stands aside."""
    return facts.frame(name).query("run not in @facts.study.aside")


def _of(runs: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """The runs that a frame has rows of."""
    return runs[runs["run"].isin(drawn.get("run", []))]


def _sized(facts: Facts) -> pd.DataFrame:
    """The finished runs that the figure of sizes draws."""
    from igaku.figures.scores import sized

    return sized(facts.runs.loc[facts.finished].reset_index(drop=True))


def _cells(parts: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What the figure of sections has in each row: right of asked, where asked."""
    for label, rows in parts.groupby("label", sort=False):
        told = rows[rows["asked"] > 0].to_dict("records")
        cells = [f"{row['section']} {row['right']}/{row['asked']}" for row in told]
        yield {"label": label, "cells": cells}


def _replies(facts: Facts) -> pd.DataFrame:
    """Every reply of the variants, if any has its time or its tokens on record."""
    rows = [
        run.rows.assign(label=facts.label(run.name))
        for run in facts.study.variants
        if run.asked and run.name not in facts.study.aside
    ]
    if not rows:
        return pd.DataFrame()
    found = pd.concat(rows, ignore_index=True)
    timed = found["seconds"].notna() | found["completion_tokens"].notna()
    return found if timed.any() else found.iloc[:0]


def _png_of(ax: Any) -> bytes:
    """A figure as PNG of 256 colours, which is a third as large as one of them all."""
    import io

    import matplotlib.pyplot as plt
    from PIL import Image

    from igaku.figures import style

    drawn, png = io.BytesIO(), io.BytesIO()
    ax.figure.set_dpi(DPI)  # of which the layout is made, too: a text is measured once
    style.arrange(ax.figure)
    ax.figure.savefig(drawn, format="rgba", dpi=DPI)
    size = ax.figure.canvas.get_width_height()
    image = Image.frombytes("RGBA", size, drawn.getvalue()).convert("RGB")
    image = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = image.getpalette() or []  # in which white is nearly white
    image.putpalette([255 if shade == 254 else shade for shade in palette])
    image.save(png, "PNG", dpi=(DPI, DPI), compress_level=3)
    plt.close(ax.figure)
    return png.getvalue()


# --- how it was done ------------------------------------------------------------------


def _methods(facts: Facts) -> str:
    """A paragraph that can be pasted into a paper, with versions."""
    from igaku.ask.manifest import environment

    about = environment()
    wanted = ("igaku", "numpy", "pandas", "scipy", "matplotlib")
    versions = [f"{n} {v}" for n, v in about["packages"].items() if n in wanted]
    return facts.say(
        "report_methods", python=about["python"], versions=versions,
        commit=about.get("git_commit"), margin=facts.study.margin,
        origins=sorted(set(facts.runs["origin"])),
    )  # fmt: skip


def _limits(facts: Facts) -> Iterator[str]:
    """What the document cannot show, for these runs."""
    if not (facts.pairs["family"] == "repeats").any():
        yield facts.say("limit_repeats")
    if (facts.runs.loc[list(facts.main), "origin"] == "recorded").any():
        yield facts.say("limit_recorded")
    if blind := told.without_image(facts):
        yield facts.say("limit_images", n=blind)
    yield facts.say("limit_scores")
