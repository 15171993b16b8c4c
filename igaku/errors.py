"""The one exception a user is meant to read."""


class IgakuError(Exception):
    """A problem the user can solve: one sentence that names the thing and the fix."""
