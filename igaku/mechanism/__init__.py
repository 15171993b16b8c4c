"""Taking recipes apart on the embedded model."""

from igaku.lazy import attach as _attach

_CONTRASTS = (
    *("at_budget", "broken_recipes", "difference", "effects", "named", "partings"),
    *("rescues", "silences"),
)
_HOMES = {
    **dict.fromkeys(("Ablation", "PARTS", "WHOLE"), "igaku.mechanism.ablation"),
    **dict.fromkeys(_CONTRASTS, "igaku.mechanism.contrasts"),
    "replies": "igaku.mechanism.sitting",
}
__getattr__, __dir__ = _attach("igaku.mechanism", _HOMES)
