"""The document: what the runs show, once, as a page, as Markdown and as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import igaku
from igaku import paths
from igaku.pages import facts as told
from igaku.pages.crossed import (
    as_asked,
    cell_table,
    contrast_table,
    design,
    effort_or_bits,
)
from igaku.pages.doubts import still_open, without_image
from igaku.pages.export import write_tables
from igaku.pages.facts import Facts, facts_of
from igaku.pages.html import Table, markdown, page, tabled
from igaku.pages.index import marks, state
from igaku.pages.silence import rescues, silence, timing
from igaku.pages.variants import shared, variants
from igaku.study.declared import standing
from igaku.study.families import Study
from igaku.words import formatted, is_missing, labelled
from igaku.writing import put

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TABLES, FIGURES = "report/tables", "report/figures"
DPI = 144
BESIDE = "walls"  # the figure that stands beside words


@dataclass(frozen=True)
class Picture:
    """A figure with the text that stands in for it, drawn when it is asked for."""

    name: str
    alt: str
    draw: Callable[[bool], bytes]

    @cached_property
    def wide(self) -> bytes:
        """The PNG for a window."""
        return self.draw(False)

    @cached_property
    def slim(self) -> bytes:
        """The PNG for a phone."""
        return self.draw(True)


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
        "readings": facts.say("read_readings", runs=facts.runs.to_dict("records")),
        "sized": (len(_sized(facts)), len(facts.finished)),
        "pictures": {each.name: each for each in pictures(facts)},
    }  # fmt: skip


def _answers(facts: Facts) -> Iterator[tuple[str, str, str | None]]:
    """What the first screen says, each with the name of the figure beside it."""
    if crossed := effort_or_bits(facts):
        yield (*crossed, "crossed")
    yield (*told.difference(facts), None)
    yield (*silence(facts), "walls")
    yield facts.say("head_open"), still_open(facts), None


def _title(facts: Facts) -> str:
    bases = [facts.study.run(name).card.get("base_model") for name in facts.main]
    known = [str(base).split("/")[-1] for base in bases if base]
    base = max(known, key=known.count, default=None)
    return facts.say("report_title", base=base)


# --- tables ---------------------------------------------------------------------------


def score_table(facts: Facts, names: Any) -> Table | None:
    """Runs with their scores first, then what their cards say."""
    import pandas as pd

    if not len(names):
        return None
    frame = pd.DataFrame([_score_row(facts, facts.runs.loc[name]) for name in names])
    constant = (
        ["max_tokens", "reasoning_effort"]
        if names == facts.main
        else list(frame.columns[-4:])
    )
    empty = [name for name in frame if frame[name].isna().all()]
    return tabled(frame.drop(columns=list({*constant, *empty})), facts.study.lang)


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
        "score": f"{row['right']}/{row['asked']}", "interval": _interval(row, "share"),
        "lost": row["lost"], "state": told_state, "max_tokens": row["max_tokens"],
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


def _interval(row: Any, kind: str) -> str | None:
    """The 95 % limits of a row in one cell."""
    if is_missing(row["low"]) or is_missing(row["high"]):
        return None
    low, high = formatted(row["low"], kind), formatted(row["high"], kind)
    joint = "–" if kind == "share" else " … "
    return f"{low.removesuffix('%')}{joint}{high}"


def pair_table(facts: Facts, pairs: pd.DataFrame) -> Table | None:
    """Pairs with difference, interval, counts and p-values.

    Verdicts, that is the adjusted p-values, stand with the pairs under test alone.
    """
    if pairs.empty:
        return None
    shown = _named(facts, pairs, facts.marked)
    is_tested = shown["family"] == "finished"
    for name in ("adjusted", "not_worse_adjusted"):
        shown[name] = shown[name].where(is_tested)
    shown["interval"] = [_interval(row, "points") for _, row in pairs.iterrows()]
    counts = ["only_reference", "only_candidate"]
    if pairs["family"].nunique() > 1:
        counts = ["family", "flips"]
    kept = ["candidate", "reference", "n", "difference", "interval", *counts,
            "pvalue", "adjusted", "not_worse_adjusted"]  # fmt: skip
    return tabled(shown[kept], facts.study.lang)


def _named(facts: Facts, pairs: pd.DataFrame, name: Any) -> pd.DataFrame:
    """Pairs with labels in place of the names of their runs."""
    sides = ("candidate", "reference")
    return pairs.assign(
        **{side: [name(each) for each in pairs[side]] for side in sides}
    )


def _walls(facts: Facts) -> Table | None:
    """The walls with what they let one infer; without a budget, the walls alone."""
    found = facts.walls.rename(columns={"replies": "at_wall"})
    keys = ["run", "seconds"]
    more = ["at_once", "slower", "finished", "median", "longest"]
    found = found.merge(facts.clocks[[*keys, *more]], on=keys, how="left")
    if found.empty:
        return None
    named = found.assign(run=[facts.marked(n) for n in found["run"]])
    return tabled(named.rename(columns={"run": "label"}), facts.study.lang)


def _official(facts: Facts) -> Table | None:
    """The ministry's criterion, a row a run: points of both parts and 禁忌 choices."""
    import pandas as pd

    found = facts.official
    if found.empty:
        return None
    rows = []
    for name, parts in found.groupby("run", sort=False):
        cells = {row["part"]: row for _, row in parts.iterrows()}
        passed = "pass" if bool(cells["total"]["passed"]) else "fail"
        rows.append(
            {"label": facts.marked(str(name)), "verdict": passed}
            | {part: _part(cells[part]) for part in ("compulsory", "rest", "kinki")}
        )
    return tabled(pd.DataFrame(rows), facts.study.lang)


def _part(row: Any) -> str:
    sign = "≤" if row["part"] == "kinki" else "≥"
    of = "" if row["part"] == "kinki" else f"/{row['possible']}"
    return f"{row['points']}{of} ({sign} {row['line']})"


def _strata(facts: Facts) -> Table | None:
    """Accuracy by stratum of the finished runs, specialities left to the CSV."""
    found = facts.strata
    runs = [name for name in facts.done if facts.runs.at[name, "counted"]]
    found = found[found["run"].isin(runs) & (found["stratum"] != "speciality")]
    if found.empty:
        return None
    keys = ["stratum", "level", "n"]
    wide = found.pivot_table(index=keys, columns="run", values="accuracy", sort=False)
    shares = wide.map(lambda value: formatted(value, "share")).reset_index()
    named = shares.rename(columns={n: facts.marked(n) for n in runs})
    return tabled(named, facts.study.lang)


# --- figures --------------------------------------------------------------------------


def pictures(facts: Facts) -> Iterator[Picture]:
    """Each figure that has something to show, in a wide and in a narrow form."""
    for name, (figure, frame, alt) in _drawn(facts).items():
        if not frame.empty:
            beside = name == BESIDE
            draw = partial(_form, figure, frame, facts.study.lang, beside)
            yield Picture(name, alt, draw)


def _form(
    figure: str, frame: pd.DataFrame, lang: str, beside: bool, narrow: bool
) -> bytes:
    from igaku import figures
    from igaku.figures import style

    with style.context(lang, narrow=narrow):
        ax = _compact(frame) if beside and not narrow else None
        drawn = getattr(figures, figure)(frame, ax=ax, lang=lang)
        if ax is not None:
            drawn.set_title("", loc="left")  # the words beside it say so
        return _png(drawn)


def _compact(frame: pd.DataFrame) -> Axes:
    """Axes for a figure that stands beside words, its rows as low as can be read."""
    import matplotlib.pyplot as plt

    is_told = frame["completion_tokens"].notna().any()  # then a row has two lines
    height = 1.6 + (0.56 if is_told else 0.32) * frame["run"].nunique()
    return plt.subplots(figsize=(7.6, height), layout="tight")[1]


def _drawn(facts: Facts) -> dict[str, tuple[str, pd.DataFrame, str]]:
    """What is drawn: figure, frame, and the sentence that stands in for it."""
    runs = facts.runs.reset_index(drop=True)
    main = facts.runs.loc[list(facts.main)].reset_index(drop=True)
    replies, official, parts = _replies(facts), facts.official, _sections(facts)
    pairs = _named(facts, told.evidence(facts.pairs), facts.label)
    walls = sorted(facts.walls["seconds"])
    sized = _sized(facts)
    lengths = facts.say(
        "alt_lengths", runs=_outside(facts, "lengths").to_dict("records")
    )
    cells = design(facts)
    return {
        "crossed": ("crossed", cells, facts.say(
            "alt_crossed", cells=cells.to_dict("records"))),
        "walls": ("token_usage", replies,
                  _listed(facts, "alt_walls", _of(runs, replies), walls=walls)),
        "forest": ("forest", pairs,
                   facts.say("alt_forest", pairs=pairs.to_dict("records"))),
        "accuracy": ("accuracy", main, _listed(facts, "alt_score", main)),
        "official": ("verdict", official,
                     _listed(facts, "alt_official", _of(runs, official))),
        "sections": ("sections", parts,
                     facts.say("alt_sections", runs=list(_cells(parts)))),
        "survival": ("survival", _outside(facts, "survival"), lengths),
        "budget": ("budget", _outside(facts, "budget_curves"), lengths),
        "memory": ("memory", sized, _listed(facts, "alt_size", sized)),
    }  # fmt: skip


def _outside(facts: Facts, name: str) -> pd.DataFrame:
    """A frame of the study without the runs of a design that stands aside."""
    found: pd.DataFrame = getattr(igaku.study, name)(facts.study)
    return found[~found["run"].isin(facts.study.aside)]


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


def _labelled(facts: Facts, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(label=[facts.label(name) for name in frame["run"]])


def _listed(facts: Facts, block: str, runs: pd.DataFrame, **more: Any) -> str:
    named = _labelled(facts, runs).to_dict("records")
    return facts.say(block, runs=named, **more)


def _replies(facts: Facts) -> pd.DataFrame:
    """Every reply of the variants, if any has its time or its tokens on record."""
    import pandas as pd

    beside = facts.study.aside
    asked = [run.name for run in facts.study.variants if run.asked]
    names = [name for name in asked if name not in beside]
    rows = [facts.study.run(n).rows.assign(label=facts.label(n)) for n in names]
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if found.empty:
        return found
    if "max_tokens" not in found:
        found["max_tokens"] = found["run"].map(facts.runs["max_tokens"])
    timed = found["seconds"].notna() | found["completion_tokens"].notna()
    return found if timed.any() else found.iloc[:0]


def _sections(facts: Facts) -> pd.DataFrame:
    found = facts.sections
    return found[found["run"].isin(facts.main)]


def _png(ax: Any) -> bytes:
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
    wanted = ("igaku", "numpy", "pandas", "scipy", "statsmodels", "matplotlib")
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
    if blind := without_image(facts):
        yield facts.say("limit_images", n=blind)
    yield facts.say("limit_scores")
