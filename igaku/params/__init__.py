"""`params/*.yaml` as validated settings."""

from igaku.lazy import attach as _attach

_SETTINGS = "igaku.params.settings"
_HOMES = dict.fromkeys(("check_parameter_names", "settings_from"), _SETTINGS)

__getattr__, __dir__ = _attach("igaku.params", _HOMES)
