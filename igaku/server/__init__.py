"""One HTTP server: what it replies, and what it says it serves."""

from igaku.lazy import attach as _attach

__getattr__, __dir__ = _attach("igaku.server", {})
