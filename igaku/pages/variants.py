"""The models one by one: their cards, their sections as counted and as published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

import igaku
from igaku.pages.facts import Facts
from igaku.pages.html import Table, tabled
from igaku.pages.index import state
from igaku.words import formatted, is_missing

# The measures of a section table: as the frame of sections, and as published.
MEASURES = (
    ("right", "correct"), ("accuracy", "accuracy"), ("blank", "blank"),
    ("api_error", "api_errors"),
)  # fmt: skip


def shared(facts: Facts) -> Table | None:
    """The rows of the cards that more than half of the models share, and exceptions."""
    cards = _cards(facts)
    rows = []
    for item, row in cards.iterrows():
        usual = _usual(row)
        if usual is not None:
            others = [
                f"{facts.marked(str(name))}: {value}"
                for name, value in row.dropna().items()
                if value != usual
            ]
            rows.append({"item": item, "value": usual, "exceptions": "; ".join(others)})
    return tabled(pd.DataFrame(rows), facts.study.lang) if rows else None


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
            "card": _frame(own, facts),
            "sections": _sections(facts, name),
            "published": _published_words(facts, name),
        }  # fmt: skip


def _cards(facts: Facts) -> Any:
    """The cards of the variants: a row an item, a column a run."""
    found = igaku.study.cards(facts.study)
    return found[[name for name in (*facts.main, *facts.apart) if name in found]]


def _usual(row: Any) -> Any:
    """The value of an item that more than half of the models have."""
    counts = row.dropna().value_counts()
    is_most = len(counts) and 2 * counts.iloc[0] > len(row)
    return counts.index[0] if is_most else None


def _frame(rows: list[dict[str, Any]], facts: Facts) -> Table | None:
    return tabled(pd.DataFrame(rows), facts.study.lang) if rows else None


def _sections(facts: Facts, name: str) -> Table | None:
    """A run's sections, each measure as counted here and, below it, as published."""
    counted = facts.sections
    counted = counted[counted["run"] == name].set_index("section")
    printed = facts.published
    printed = printed[printed["run"] == name]
    rows: list[dict[str, Any]] = []
    for here, there in MEASURES:
        cells = {str(key): _counted(row, here) for key, row in counted.iterrows()}
        total = _cell(facts.runs.loc[name, here], here)
        rows.append(cells | {"measure": facts.say(f"counted_{here}"), "total": total})
        found = printed[printed["measure"] == there]
        said = dict(zip(found["section"], found["published"], strict=True))
        if here == "accuracy":
            said = {key: f"{value:.1f}%" for key, value in said.items()}
        if said:
            rows.append(said | {"measure": facts.say(f"published_{here}")})
    columns = ["measure", *counted.index, "total"]
    rows = [{name: row.get(name) for name in columns} for row in rows]
    return _frame(rows, facts)


def _counted(row: Any, name: str) -> str | None:
    return _cell(row[name], name) if row["asked"] else None


def _cell(value: Any, name: str) -> str:
    return formatted(value, "share" if name == "accuracy" else None)


def _published_words(facts: Facts, name: str) -> str | None:
    """What was published of a model in words: verdict, remark, failure, summary."""
    told = facts.study.run(name).published
    summary = told.get("summary") if isinstance(told.get("summary"), dict) else {}
    words = [
        told.get("verdict"), told.get("remark"), told.get("failure"),
        (summary or {}).get("accuracy"),
    ]  # fmt: skip
    known = [str(each) for each in words if each]
    if not known:
        return None
    return facts.say("model_published", words=known, source=told.get("source"))
