"""The secrets of this process, and texts without them.

Keys come from the environment alone. Wherever a server, a library or a user repeats
one, it is cut out where the text comes in and again where it goes to the disk.
"""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote, urlsplit

KEYS = ("IGAKU_API_KEY", "OPENAI_API_KEY", "LM_API_TOKEN")
OPEN_KEYS = ("LM_API_TOKEN", "IGAKU_API_KEY")  # of these, what goes out without https
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

# A name under which nothing but a credential stands, at any depth of a body.
CARRIER = re.compile(
    r"(?:key|token|access|auth|pwd|x-.+)|(?:.*[-_.])?(?:api|access|auth|private|bearer"
    r"|session|refresh)[-_]?(?:key|token)s?|.*(?:secret|passw|authoriz|authentic"
    r"|credential|cookie).*",
    re.IGNORECASE,
)
HEADERS = re.compile(r"(?:extra_|default_)?headers?|extra_query", re.IGNORECASE)
# A name, a colon, what is no port, an @: also in an address that is none.
NAMED = re.compile(r"(?:https?:)?[/\\]*[^/\\]*:(?![/\\]|\d{1,5}[/\\])[^#]*@", re.I)
# A part of an address that nobody would say aloud: not an account's or a deployment's
# number, which are shorter, or of one case.
RANDOM = re.compile(
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w.~-]{20,}|(?=.*[a-z])(?=.*\d)[a-z\d]{40,}"
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
    """Every way in which a secret may stand in a text, the longest secret first."""
    told = ["".join(map(_spelt, key)) for key in sorted(known, key=len, reverse=True)]
    for key in known:
        for whole in (f"{key}:", f":{key}", key):
            coded = base64.b64encode(whole.encode()).decode().rstrip("=")
            told.append(re.escape(coded))
    return re.compile("|".join(told)) if told else None


def _spelt(letter: str) -> str:
    """A letter as it is, or escaped as in JSON, however often, an address or a page."""
    if letter.isalnum():
        return letter  # nobody escapes it, and texts are searched fast
    coded = [rf"\\*(?:{re.escape(letter)}|u{ord(letter):04x}|u{ord(letter):04X})"]
    coded += [re.escape(quote(letter, safe="")), re.escape(html.escape(letter))]
    return f"(?:{'|'.join(coded)}|%{ord(letter):02x}|&#0*{ord(letter)};)"


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


# --- what is refused before it is used ------------------------------------------------


def credential_in(address: str) -> str | None:
    """What of an address would give a key away, in words; None where nothing does.

    >>> credential_in("http://host/v1?api_key=k")
    'a key in its query'
    """
    place, _, query = address.partition("?")
    host, _, path = place.partition("//")[2].partition("/")
    if "@" in host or NAMED.match(place):
        return "a user name or password"
    if discreet(address) != address and redacted(place) == place:
        return "a key in its query"
    parts = re.split("[/=;#&]", unquote(path))
    named = dict(pairwise(parts))
    is_named = any(named.get(name) for name in ("key", "token", "api_key", "apikey"))
    if is_named or discreet(place) != place or any(map(RANDOM.fullmatch, parts)):
        return "a key in its path"
    is_random = any(map(RANDOM.fullmatch, re.split("[=;#&]", unquote(query))))
    return "a key in its query" if is_random else None


def carrier_in(value: Any, place: str = "") -> str | None:
    """Where in a body a credential stands, by its name or its form; None for nowhere.

    >>> carrier_in({"a": [{"headers": {"X-Auth": "k"}}]})
    'a.headers'
    """
    if isinstance(value, str):
        return place if discreet(value) != value else None
    if isinstance(value, list | tuple):
        return next(filter(None, (carrier_in(each, place) for each in value)), None)
    if not isinstance(value, Mapping):
        return None
    inside = ((f"{place}.{n}".lstrip("."), str(n), each) for n, each in value.items())
    found = (w if _carries(n, v) else carrier_in(v, w) for w, n, v in inside)
    return next(filter(None, found), None)


def _carries(name: str, value: Any) -> bool:
    """Whether a name says that its value is a credential; in a schema it may not."""
    if isinstance(value, Mapping):
        return bool(HEADERS.fullmatch(name)) and bool(value) and "type" not in value
    is_told = isinstance(value, str | int | float) and not isinstance(value, bool)
    return (is_told and bool(CARRIER.fullmatch(name))) or discreet(name) != name
