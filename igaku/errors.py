"""The exceptions a user is meant to read, each one sentence with the thing and the fix.

Their names are what a sweep reads in a log: they tell it whether trying again may help.
"""

import difflib
from collections.abc import Collection

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


def meant(name: str, known: Collection[str], cutoff: float = 0.5) -> str | None:
    """The question whether the nearest of the known names was meant; None if none is.

    >>> meant("openai8bit", ["openai-8bit", "lab-mlx-8bit"])
    'did you mean openai-8bit?'
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else None
