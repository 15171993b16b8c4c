"""What asking again told, for sentences: noise, what is systematic, what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import igaku
from igaku.study.families import Study


def repeated(
    study: Study, label: Callable[[str], str], say: Callable[..., str]
) -> Iterator[str]:
    """A sentence for each row of `igaku.study.repeats`, of a pair with its plan."""
    pairs = igaku.pairs(study).query("family == 'finished'")
    compared = pairs.set_index(["reference", "candidate"])["compared"]
    rows: list[Any] = igaku.study.repeats(study).to_dict("records")
    for row in rows:
        key = (row["reference"], row["candidate"])
        told = row | {"reference": label(key[0]), "candidate": label(key[1])}
        if key in compared.index and row["flips"] > 0:
            told |= _planned(study, row, int(compared[key]))
        block = "report_noise" if key[0] == key[1] else "report_parts"
        yield say(block, **told, margin=study.margin)


def _planned(study: Study, row: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """What 80 % power takes, at the systematic share of the flips and at its limits.

    `fewest fewest_low fewest_high`: the askings, missing where no number would do;
    `needed`: the questions, asked as often as these.
    """
    ends = ("", "_low", "_high")
    shares = [min(1.0, max(0.0, row[f"systematic_share{end}"])) for end in ends]
    k = min(row["askings_reference"], row["askings_candidate"])
    told = igaku.study.plan(
        row["flips"],
        row["n"],
        study.margin,
        shares,
        [k],
        pairs=pairs,
        level=study.level,
    )
    needed = int(told["enough"].iloc[0])
    fewest = zip(ends, told["fewest"], strict=True)
    return {"needed": needed} | {f"fewest{end}": value for end, value in fewest}
