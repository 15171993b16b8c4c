"""The old name of `families`, for rooms that have not moved yet."""

from igaku.study.families import (  # noqa: F401
    KINDS,
    MARGIN,
    ROLES,
    Family,
    Study,
    condition,
    label_of,
    open_study,
    role,
    size_gb,
    study_of,
    unlike,
)
from igaku.words import HELD_FIXED as CONDITION  # noqa: F401
