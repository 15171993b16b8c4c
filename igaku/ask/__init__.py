"""One sitting of an exam, and the files it leaves."""

from igaku.lazy import attach as _attach

_HOMES = dict.fromkeys(("questions_of", "server_of"), "igaku.ask.run")

__getattr__, __dir__ = _attach("igaku.ask", _HOMES)
