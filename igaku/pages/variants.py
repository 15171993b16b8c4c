"""The models one by one: their cards, their sections as counted and as published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from igaku.pages.facts import Facts
from igaku.pages.html import Table
from igaku.pages.index import state
from igaku.study.scoring import budget_published
from igaku.words import formatted, is_missing

# The measures of a section table: as the frame of sections, and as published.
MEASURES = (
    ("right", "correct"), ("accuracy", "accuracy"), ("blank", "blank"),
    ("api_error", "api_errors"),
)  # fmt: skip


def shared(facts: Facts) -> Table | None:
    """The rows of the cards that more than half of the models share, and exceptions."""
    rows = []
    for item, row in _cards(facts).iterrows():
        usual = _usual(row)
        if usual is not None:
            told = row[row.notna() & (row != usual)].items()
            others = [f"{facts.marked(name)}: {value}" for name, value in told]
            rows.append({"item": item, "value": usual, "exceptions": "; ".join(others)})
    return facts.table(pd.DataFrame(rows))


def variants(facts: Facts) -> Iterator[dict[str, Any]]:
    """Each run whole: what only its card says, its sections, what was published."""
    cards = [(item, row, _usual(row)) for item, row in _cards(facts).iterrows()]
    for place, name in enumerate((*facts.main, *facts.apart), 1):
        row = facts.runs.loc[name]
        own = [
            {"item": item, "value": card[name]}
            for item, card, usual in cards
            if not is_missing(card[name]) and card[name] != usual
        ]
        yield {
            "title": facts.say(
                "model_title", place=place, label=facts.marked(name),
                right=row["right"], asked=row["asked"], accuracy=row["accuracy"],
                state=state(row, facts.study.lang),
            ),
            "card": facts.table(pd.DataFrame(own)),
            "sections": _sections(facts, name),
            "published": _published_words(facts, name),
        }  # fmt: skip


def _cards(facts: Facts) -> Any:
    """The cards of the variants: a row an item, a column a run."""
    found = facts.frame("cards")
    return found[[name for name in (*facts.main, *facts.apart) if name in found]]


def _usual(row: Any) -> Any:
    """The value of an item that more than half of the models have."""
    counts = row.dropna().value_counts()
    is_most = len(counts) and 2 * counts.iloc[0] > len(row)
    return counts.index[0] if is_most else None


def _sections(facts: Facts, name: str) -> Table | None:
    """A run's sections, each measure as counted here and, below it, as published.

    Where the figures are of another budget, they say so.
    """
    counted = facts.frame("sections").query("run == @name").set_index("section")
    printed = facts.frame("published").query("run == @name")
    budget = budget_published(facts.study.run(name))
    sections, rows = list(counted.index), []
    for here, there in MEASURES:
        unit = "share" if here == "accuracy" else None
        met = counted.loc[counted["asked"] > 0, here]
        cells = {key: formatted(value, unit) for key, value in met.items()}
        total = formatted(facts.runs.at[name, here], unit)
        rows.append(cells | {"measure": facts.say(f"counted_{here}"), "total": total})
        found = printed[printed["measure"] == there]
        said = dict(zip(found["section"], found["published"], strict=True))
        if unit:
            said = {key: f"{value:.1f}%" for key, value in said.items()}
        if said:
            measure = facts.say(f"published_{here}")
            told = facts.say("published_of", measure=measure, budget=budget)
            rows.append(said | {"measure": told})
    return facts.table(pd.DataFrame(rows, columns=["measure", *sections, "total"]))


def _published_words(facts: Facts, name: str) -> str | None:
    """What was published of a model in words: verdict, remark, failure, summary."""
    told = facts.study.run(name).published
    words = [told.get(key) for key in ("verdict", "remark", "failure")]
    known = [str(each) for each in (*words, told["summary"].get("accuracy")) if each]
    about = {
        "source": told.get("source"),
        "budget": budget_published(facts.study.run(name)),
    }
    return facts.say("model_published", words=known, **about) if known else None
