"""A reply's text, its letters or digits, and the outcome."""

from igaku.lazy import attach as _attach

__getattr__, __dir__ = _attach("igaku.reading", {})
