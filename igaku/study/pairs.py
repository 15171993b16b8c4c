"""Pairs of runs, for the time being as they were."""

from igaku.study.former_pairs import (  # noqa: F401
    COLUMNS,
    PAIRS,
    SMALL,
    flips,
    flips_frame,
    gates,
    grid_of,
    pair_table,
    pairs_frame,
    patterns,
    with_power,
)
