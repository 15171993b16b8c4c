"""What asking again told, for sentences: noise, what is systematic, what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import igaku
from igaku.study.families import Study


def repeated(study: Study, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Each row of `igaku.study.repeats` with labels and, of a pair, with its plan.

    `fewest fewest_low fewest_high`: the askings for 80 % power at the systematic share
    of the flips and at its limits, missing where no number would do; `needed`: the
    questions, asked as often as these.
    """
    pairs = igaku.pairs(study).query("family == 'finished'")
    compared = pairs.set_index(["reference", "candidate"])["compared"]
    rows: list[Any] = igaku.study.repeats(study).to_dict("records")
    for row in rows:
        key = (row["reference"], row["candidate"])
        told = row | {"margin": study.margin, "is_one": key[0] == key[1]}
        told |= {name: labels[row[name]] for name in ("reference", "candidate")}
        if key in compared.index and row["flips"] > 0:
            told |= _planned(study, row, int(compared[key]))
        yield told


def _planned(study: Study, row: Mapping[str, Any], pairs: int) -> dict[str, Any]:
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
    needed = int(told["needed"].iloc[0])
    fewest = zip(ends, told["fewest"], strict=True)
    return {"needed": needed} | {f"fewest{end}": value for end, value in fewest}
