"""The parts of a reply: what came back for one request, whatever the server's dialect.

Servers put the reasoning into many different fields or leave it in the text, send
errors with status 200, and count tokens or do not. Where something stands ends here;
what a text is, `igaku.reading` decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

# Why a reply ended, in any server's word and case.
FINISHES = {
    "stop": ("eos", "eosfound", "stopstringfound", "stop_sequence", "end_turn", "word",
             "completed", "stop_token"),
    "length": ("limit", "max_tokens", "max_output_tokens", "maxpredictedtokensreached",
               "contextlengthreached", "model_context_window_exceeded", "model_length",
               "incomplete", "token_limit", "max_length", "context_length"),
    "tool_calls": ("toolcalls", "tool_use", "function_call", "tool_call"),
    "repetition": ("repetition_detected", "repetitive", "loop", "looping"),
}  # fmt: skip
NAMED = {word: name for name, words in FINISHES.items() for word in (name, *words)}
# What came is a piece of a reply.
ABORTED = (
    "failed", "modelunloaded", "userstopped", "error", "cancelled", "canceled", "abort",
    "aborted", "interrupted", "timeout",
)  # fmt: skip
FILTERED = ("content_filter", "safety", "recitation", "blocklist", "prohibited_content")
THOUGHT = re.compile(r"think|thought|reason|\banalysis\b", re.IGNORECASE)
THOUGHT_FIELDS = ("reasoning", "reasoning_content", "thinking", "reasoning_details")
# A field that a strict server does not know, in the words of several.
UNKNOWN_FIELD = re.compile(
    r"(?:unrecognized|unknown|unexpected|unsupported|extra|additional|invalid)\W"
    r"[^.\n]{0,60}?(?:argument|parameter|field|key|name|propert(?:y|ies)|input)s?\b"
    r"[^\"'`:\n]{0,40}[\"'`: ]+(?P<names>[a-z]\w*(?:[\"'`]?, ?[\"'`]?[a-z]\w*)*)",
    re.IGNORECASE,
)
EVENT = re.compile(r"^\s*data:\s?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Parts:
    """What came back for one request, under the same names whatever the server.

    `content` and `reasoning` are the texts as they came, not yet taken apart. Unknown
    is None, never 0 and never a guess. `raw` is the body, whole.
    """

    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    tokens_per_second: float | None = None
    served_model: str | None = None
    error: str | None = None
    raw: object = None
    status: int | None = None
    retry_after: float | None = None  # seconds the server asks to be left alone
    tool: str | None = None  # called instead of an answer


def parts_of(body: object, status: int = 200) -> Parts:
    """The parts of a server's body, whichever dialect the server speaks.

    An event stream or lines of JSON that nobody asked for are put together; `raw` is
    then the text as it came.
    """
    parsed, raw = _parsed(body)
    if not isinstance(parsed, dict):
        said = sound(parsed).strip()[:500] if isinstance(parsed, str) else ""
        what = f": {said}" if said else " without a readable body"
        return Parts(error=f"HTTP {status}{what}", raw=raw, status=status)
    text, reasoning, stops, tool = _spoken(parsed)
    # A server that names the budget anywhere is believed.
    told = [NAMED.get(stop.lower(), stop) for stop in filter(text_of, stops)]
    finish = "length" if "length" in told else next(iter(told), None)
    return Parts(
        content=sound(text),
        reasoning=sound(reasoning),
        finish_reason=finish,
        **_counts(parsed, bool(text or reasoning)),
        tokens_per_second=_speed(parsed),
        served_model=_first(parsed, text_of, "model", "model_instance_id"),
        error=_error(parsed, status, finish),
        raw=raw,
        status=status,
        tool=tool,
    )


def _spoken(body: dict[str, Any]) -> tuple[str, str, list[Any], str | None]:
    """Text, reasoning, every word on why the reply ended, and the tool it called."""
    stop = at(body, "stats.stop_reason")
    if choice := choice_of(body):
        message = choice.get("message") or choice
        told = [choice.get("finish_reason"), stop]
        return *_message(message), told, _tool(_map(message))
    if isinstance(output := body.get("output"), list):
        thoughts = [_prose(item) for item in output if _is_thought(item)]
        texts = [_prose(i) for i in output if _map(i).get("type") in (None, "message")]
        why = at(body, "incomplete_details.reason") or body.get("status")
        calls = [item for item in output if "call" in str(_map(item).get("type"))]
        thought = "\n".join(filter(None, thoughts))
        return "".join(texts), thought, [why, stop], _tool({"tool_calls": calls})
    message = _map(body.get("message")) or {"content": body.get("content")}
    told = [body.get("done_reason"), body.get("stop_type"), stop]
    return *_message(message), told, _tool(message)


def choice_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The choice of a body that counts: that of index 0, else the first; {} if none."""
    listed = body.get("choices")
    told = listed if isinstance(listed, list) else []
    choices = [choice for choice in told if isinstance(choice, dict)]
    first = next((choice for choice in choices if choice.get("index") == 0), None)
    return first or next(iter(choices), {})


def _message(message: object) -> tuple[str, str]:
    """Text and reasoning of one message; the reasoning has a name per server."""
    if isinstance(message, str):
        return message, ""
    fields, thought = _map(message), ""
    content = fields.get("content")
    if isinstance(content, list):
        thought = _prose([part for part in content if _is_thought(part)])
        content = _apart(content)
    text = _prose(content)
    if not text and isinstance(content, dict) and content:
        text = json.dumps(content, ensure_ascii=False)
    text = text or _prose(fields.get("text")) or _prose(fields.get("refusal"))
    others = [name for name in fields if THOUGHT.search(name)]
    for name in (*THOUGHT_FIELDS, *others):
        found = _prose(fields.get(name))
        if found.strip():
            return text, found
    return text, thought


def _apart(parts: list[Any]) -> list[Any]:
    """The parts of a text that are no thought, on lines of their own beside one."""
    kept = list[Any]()
    for before, part in zip([None, *parts], parts, strict=False):
        if not _is_thought(part):
            kept += ["\n"] * bool(kept and _is_thought(before)) + [part]
    return kept


def _tool(message: Mapping[str, Any]) -> str | None:
    """The name of the tool that a message calls, if it calls one."""
    calls = message.get("tool_calls")
    listed = calls if isinstance(calls, list) else [message.get("function_call")]
    for call in map(_map, listed):
        name = at(call, "function.name") or call.get("name") or call.get("type")
        if name:
            return sound(str(name))[:80]
    return None


def _is_thought(part: object) -> bool:
    return bool(THOUGHT.search(str(_map(part).get("type"))))


def _prose(value: object, depth: int = 0) -> str:
    """The text inside a value that may be a string, a part, or a list of parts."""
    if isinstance(value, str):
        return value
    if depth > 4:
        return ""
    if isinstance(value, list):
        return "".join(_prose(part, depth + 1) for part in value)
    fields = _map(value)
    names = ["text", "content", "thinking", "reasoning", "summary", "refusal"]
    names += [name for name in fields if THOUGHT.search(name)]
    return next((t for n in names if (t := _prose(fields.get(n), depth + 1))), "")


def _error(body: dict[str, Any], status: int, finish: str | None) -> str | None:
    """What went wrong, whether the server said so by status, by field or by silence."""
    first = choice_of(body)
    told = body.get("error") or first.get("error")
    if told or status >= 400 or body.get("object") == "error":
        silent = "an error without a message" if told else f"HTTP {status}"
        return _complaint(told or body) or silent
    # Without `choices` it may be a reply in another interface's shape.
    shapes = {"output": list, "message": dict, "content": str}
    is_spoken = any(isinstance(body.get(name), shapes[name]) for name in shapes)
    if not first and not is_spoken:
        said = _complaint({key: body.get(key) for key in ("message", "detail")})
        return said or "the reply has no choices"
    if (finish or "").lower() in ABORTED:
        return f"the server stopped: {finish}"
    if (finish or "").lower() in FILTERED:
        return f"a filter of the server ended the reply: {finish}"
    return None


def unknown_fields(parts: Parts) -> list[str]:
    """The fields of a request that a strict server says it does not know.

    >>> refused = {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"]}]}
    >>> unknown_fields(parts_of(refused, 422))
    ['top_k']
    """
    if parts.status not in (400, 422):
        return []
    found = UNKNOWN_FIELD.search(parts.error or "")
    names = re.findall(r"[a-zA-Z]\w*", found["names"]) if found else []
    details = _map(parts.raw).get("detail")
    for each in map(_map, details if isinstance(details, list) else []):
        place = each.get("loc")
        if isinstance(place, list) and "extra" in str(each.get("type")).lower():
            names.append(str(place[-1]))
    return list(dict.fromkeys(names))


def _complaint(told: object, depth: int = 0) -> str:
    """The sentence in an error that may be a string or any shape of object."""
    if isinstance(told, str):
        return sound(told)
    if isinstance(told, list) and told:
        return "; ".join(filter(None, (_complaint(one, depth + 1) for one in told[:4])))
    fields = _map(told)
    for name in ("message", "error", "detail", "msg", "type", "code"):
        if fields.get(name) and depth < 4:
            return _complaint(fields[name], depth + 1)
    if not told or (fields and not any(fields.values())):
        return ""
    return sound(str(told))[:500]


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def sound(text: str) -> str:
    """The text without half characters, which no file could hold.

    A reply cut inside an emoji arrives as one half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _counts(body: dict[str, Any], is_spoken: bool) -> dict[str, Any]:
    """The tokens of a reply in any server's names; a zero that cannot be is unknown."""
    usage = _map(body.get("usage")) or _map(body.get("stats")) or body
    prompt = _first(
        usage, _count,
        "prompt_tokens", "input_tokens", "prompt_eval_count", "tokens_evaluated",
    )  # fmt: skip
    completion = _first(
        usage, _count,
        "completion_tokens", "output_tokens", "total_output_tokens", "eval_count",
        "tokens_predicted",
    )  # fmt: skip
    completion = completion or _count(at(body, "timings.predicted_n")) or completion
    if completion == 0 and (is_spoken or not prompt):
        completion = None
    thought = _first(
        usage, _count,
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "reasoning_output_tokens", "reasoning_tokens",
    )  # fmt: skip
    return {
        "prompt_tokens": prompt or None,
        "completion_tokens": completion,
        "reasoning_tokens": thought,
    }


def _speed(body: dict[str, Any]) -> float | None:
    """Tokens generated per second as the server measured them."""
    told = ("stats.tokens_per_second", "timings.predicted_per_second")
    if speed := _first(body, positive, *told):
        return speed
    tokens = positive(body.get("eval_count"))
    nanoseconds = positive(body.get("eval_duration"))
    return tokens / nanoseconds * 1e9 if tokens and nanoseconds else None


# --- a body as it came ----------------------------------------------------------------


def _parsed(body: object) -> tuple[object, object]:
    """The body as JSON, whatever a server labelled it, and as it is to be kept."""
    if isinstance(body, (bytes, bytearray)):
        body = bytes(body).decode("utf-8", "replace")
    if not isinstance(body, str):
        return body, body
    text = body.lstrip("\ufeff \r\n\t")
    whole, rest = _decoded(text)
    if whole is not None and not rest.strip():
        return whole, whole
    chunks = [] if whole is None else [whole]
    lines = EVENT.findall(rest) or (rest.splitlines() if chunks else [])
    chunks += [chunk for line in lines if (chunk := _decoded(line)[0]) is not None]
    return (_assembled(chunks), body) if chunks else (body, body)


def _decoded(text: str) -> tuple[dict[str, Any] | None, str]:
    """The JSON object that a text begins with, and what follows it."""
    if not text.lstrip().startswith("{"):
        return None, text
    try:
        value, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None, text
    return value, text.lstrip()[end:]


def _assembled(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """One body out of the events or lines of a stream; an error in it counts."""
    failed = next((chunk for chunk in chunks if chunk.get("error")), None)
    whole = next((chunk for chunk in chunks if "message" in choice_of(chunk)), None)
    if failed or whole:
        return failed or whole or {}
    body: dict[str, Any] = {}
    message: dict[str, str] = {}
    finish = None
    for chunk in chunks:
        body |= {key: value for key, value in chunk.items() if value is not None}
        choice = choice_of(chunk)
        finish = choice.get("finish_reason") or finish
        said = (
            choice.get("delta")
            or chunk.get("message")
            or {"content": choice.get("text")}
        )
        for name, piece in _map(said).items():
            if isinstance(piece, str) and name != "role":
                message[name] = message.get(name, "") + piece
    if "choices" in body:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return body | {"choices": [choice]}
    return body | {"message": message}


# --- what stands at a place of a body -------------------------------------------------


def at(body: object, place: str) -> object:
    """What stands at a place such as `usage.prompt_tokens`, None for nothing."""
    for key in place.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def _first(body: object, kind: Callable[[object], T | None], *places: str) -> T | None:
    values = (kind(at(body, place)) for place in places)
    return next((value for value in values if value is not None), None)


def text_of(value: object) -> str | None:
    """The value if it is a text, and not empty."""
    return value if isinstance(value, str) and value else None


def shortened(text: str, length: int = 60) -> str:
    """A text in one line, cut where it is too long for a sentence."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 1e12 and value == int(value) else None


def positive(value: object) -> float | None:
    """The value if it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e300 else None
