"""The exceptions a user is meant to read, each one sentence with the thing and the fix.

Their names are what a sweep reads in a log: they tell it whether trying again may help.
"""

from igaku.redaction import discreet


class IgakuError(Exception):
    """A problem the user can solve: one sentence that names the thing and the fix.

    `kind` is the word for it in the records of a run and of a sweep. Whatever the
    sentence quotes, it holds no secret.
    """

    kind = "other"

    def __init__(self, sentence: str = "") -> None:
        super().__init__(discreet(str(sentence)))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the sentence, without the trace above it."""
        return [f"{type(self).__name__}: {self}"]


class ServerUnreachable(IgakuError):
    """No reply came: the connection failed, broke off, or took too long."""

    kind = "unreachable"


class NotLoaded(IgakuError):
    """The server could not load the model: it is not there, too big, or crashed."""

    kind = "not_loaded"


class WrongModel(IgakuError):
    """Another model answered, or the server serves other weights than the card's."""

    kind = "wrong_model"


class EngineCrashed(IgakuError):
    """The engine behind the server died while it was answering."""

    kind = "crashed"
