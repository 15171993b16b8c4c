"""Statistics of models that answered the same questions: tests, intervals, plans."""

from igaku.statistics.overall import CochranQ, cochran_q
from igaku.statistics.paired import (
    ClusteredError,
    Interval,
    McNemar,
    Numbers,
    PairedDifference,
    Proportion,
    clustered_error,
    clustered_sums,
    detectable_difference,
    equivalence,
    flip_budget,
    holm,
    mcnemar,
    mcnemar_power,
    noninferiority,
    noninferiority_power,
    paired_difference,
    proportion,
    required_questions,
)
from igaku.statistics.ranks import Precedence, precedence
from igaku.statistics.repeats import (
    FlipParts,
    Limits,
    MeanDifference,
    flip_parts,
    mean_difference,
    mean_limits,
    repeat_flips,
    repeated_power,
    required_for_margin,
    required_repeats,
)
