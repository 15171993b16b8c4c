"""The secrets of this process, and texts without them.

Keys come from the environment alone. Wherever a server, a library or a user repeats
one, it is cut out where the text comes in and again where it goes to the disk.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

KEYS = ("IGAKU_API_KEY", "OPENAI_API_KEY", "LM_API_TOKEN")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
CUT = "[key]"
SHORTEST = 8  # letters; what is shorter stands in ordinary words
# What servers without keys ask to be sent, folded, without hyphens and the like.
PLACEHOLDER = re.compile(
    "(sk)?(lmstudio|no(t|key)(needed|required|set)|dummy(key)?|fake(key)?|apikey"
    "|placeholder|anything|whatever|undefined|yourapikey)"
)
# A credential by its form, in a sentence that quotes what a user gave.
FORMS = re.compile(
    r"""(?P<user>://)[^/\s@'"]+@
    | (?P<scheme>\b(?:bearer|basic)\s+)(?=\S*[\d=])[\w.~+/=-]{8,}
    | (?P<name>[?&;](?:[\w-]*[_-])?
        (?:api-?key|key|token|access|auth|secret|password|sig)=)[^&\s'"#]+
    | \b(?:sk|pk|gsk|xai|pplx|nvapi|hf|ghp|r8)[-_][\w-]{16,}""",
    re.IGNORECASE | re.VERBOSE,
)


def secrets() -> frozenset[str]:
    """The keys in the environment, and the passwords of its proxies.

    None that is a placeholder, a number, or too short to be told from ordinary words.
    """
    return _worth_hiding(tuple(map(os.environ.get, _NAMES)))


_NAMES = (*KEYS, *PROXIES, *map(str.lower, PROXIES))


@cache
def _worth_hiding(values: tuple[str | None, ...]) -> frozenset[str]:
    keys = [value.strip() for value in values[: len(KEYS)] if value]
    found = [_password(value) for value in values[len(KEYS) :] if value]
    return frozenset(filter(_is_secret, [*keys, *found, *map(unquote, found)]))


def _password(address: str) -> str:
    try:
        return urlsplit(address).password or ""
    except ValueError:
        return ""


def _is_secret(value: str) -> bool:
    plain = re.sub(r"[\W_]", "", value).casefold()
    is_word = PLACEHOLDER.fullmatch(plain) or len(set(plain)) < 3
    return len(value) >= SHORTEST and not is_word and not plain.isdecimal()


@cache
def _forms(known: frozenset[str]) -> re.Pattern[str] | None:
    """Every way in which a secret may stand in a text, the longest first."""
    forms: set[str] = set()
    for key in known:
        plain = {key, quote(key, safe=""), quote_plus(key), html.escape(key)}
        plain |= {json.dumps(key)[1:-1], json.dumps(key, ensure_ascii=False)[1:-1]}
        coded = {base64.b64encode(f"{user}{key}".encode()) for user in ("", ":")}
        coded |= {base64.b64encode(f"{key}:".encode())}
        forms |= plain | {each.decode().rstrip("=") for each in coded}
        forms.add(key.replace("/", "\\/"))
    told = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, told))) if told else None


def redacted(text: str) -> str:
    """A text without the secrets of this process, as they are or encoded.

    Found as it is, quoted for an address, a page or JSON, and in base64; not in pieces.

    >>> os.environ["IGAKU_API_KEY"] = "sk-3f9a77c1"
    >>> redacted("Incorrect API key: sk-3f9a77c1")
    'Incorrect API key: [key]'
    """
    forms = _forms(secrets())
    return forms.sub(CUT, text) if forms else text


def discreet(text: str) -> str:
    """A sentence without secrets and without what has the form of one.

    >>> discreet("http://me:word@host/v1 is no address")
    'http://[key]@host/v1 is no address'
    """
    return FORMS.sub(_cut, redacted(text))


def _cut(found: re.Match[str]) -> str:
    kept = found["user"] or found["scheme"] or found["name"] or ""
    return f"{kept}{CUT}{'@' * bool(found['user'])}"


def cleaned(value: Any) -> Any:
    """What JSON may hold, without secrets in its texts and names: all else as it is."""
    forms = _forms(secrets())
    return _cleaned(value, forms) if forms else value


def _cleaned(value: Any, forms: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return forms.sub(CUT, value)
    if isinstance(value, Mapping):
        return {_cleaned(n, forms): _cleaned(v, forms) for n, v in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each, forms) for each in value]
    return value
