"""Taking recipes apart on the embedded model."""

from igaku.lazy import attach as _attach

__getattr__, __dir__ = _attach(
    "igaku.mechanism",
    {
        **dict.fromkeys(("Ablation", "PARTS", "WHOLE"), "igaku.mechanism.ablation"),
        "replies": "igaku.mechanism.sitting",
        **dict.fromkeys(
            (
                "at_budget",
                "broken_recipes",
                "difference",
                "effects",
                "named",
                "specimens",
                "worst_cases",
            ),
            "igaku.mechanism.contrasts",
        ),
    },
)
