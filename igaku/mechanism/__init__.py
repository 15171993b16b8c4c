"""Taking recipes apart on the embedded model."""

from igaku.lazy import attach as _attach

__getattr__, __dir__ = _attach("igaku.mechanism", {})
