"""What is asked, and its gold."""

from igaku.lazy import attach as _attach

__getattr__, __dir__ = _attach("igaku.exam", {})
