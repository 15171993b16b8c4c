"""LM Studio's REST interface: one request, and what it has against it."""

from __future__ import annotations

import re
from typing import Any

from igaku.errors import NotLoaded
from igaku.server.client import connect, unreachable
from igaku.server.parts import parts_of

BRIEF = 30.0  # seconds for whatever loads nothing

UNKNOWN_PATH = re.compile(
    r"unexpected endpoint|cannot (?:get|post) /|^not found$", re.IGNORECASE
)


def asked(
    base_url: str, path: str, body: object | None = None, patience: float = BRIEF
) -> tuple[int, Any]:
    """Status and body of the answer to one request, refusals included."""
    import openai

    url = base_url.removesuffix("/v1") + path
    with connect(base_url, patience) as client:
        try:
            if body is None:
                return 200, client.get(url, cast_to=object)
            return 200, client.post(url, cast_to=object, body=body)
        except openai.APIStatusError as refused:
            if refused.status_code in (401, 403):
                raise NotLoaded(
                    f"{base_url} wants an API token other than the one it was sent, if "
                    "any: make one in LM Studio's server settings and set LM_API_TOKEN "
                    "to it, or IGAKU_API_KEY, which goes first over https."
                ) from refused
            return refused.status_code, refused.response.text
        except openai.APIConnectionError as broken:
            raise unreachable(client, broken) from broken
        except (ValueError, RecursionError):  # no JSON, or JSON without an end
            return 200, None


def is_unknown_path(status: int, said: object) -> bool:
    """Whether the server refuses the request itself, and not what it asks for."""
    reply = parts_of(said, status)
    if UNKNOWN_PATH.search(reply.error or ""):
        return True
    # A server that has the path tells in JSON that it misses a model.
    return status in (404, 405) and not isinstance(reply.raw, dict)


def refusal(status: int, said: object) -> str | None:
    """What the server has against the request, None for nothing."""
    if status < 400 and isinstance(said, dict) and not said.get("error"):
        return None
    return parts_of(said, status).error or f"HTTP {status}"
