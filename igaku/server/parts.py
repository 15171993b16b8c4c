"""The parts of a reply: what came back for one request, whatever the server's dialect.

Servers put the reasoning into many different fields or leave it in the text, send
errors with status 200, and count tokens or do not. Where something stands ends here;
what a text is, `igaku.reading` decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

STOPS = (
    "eos", "eosfound", "stopstringfound", "stop_sequence", "end_turn", "word",
    "completed",
)  # fmt: skip
LENGTHS = (
    "limit", "max_tokens", "max_output_tokens", "maxpredictedtokensreached",
    "contextlengthreached", "model_context_window_exceeded", "model_length",
    "incomplete",
)  # fmt: skip
FINISHES = {
    **dict.fromkeys(STOPS, "stop"),
    **dict.fromkeys(LENGTHS, "length"),
    **dict.fromkeys(("toolcalls", "tool_use"), "tool_calls"),
}
ABORTED = ("failed", "modelUnloaded", "userStopped", "error", "cancelled")


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


def parts_of(body: object, status: int = 200) -> Parts:
    """The parts of a server's body, whichever dialect the server speaks."""
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        said = sound(parsed).strip()[:500] if isinstance(parsed, str) else ""
        what = f": {said}" if said else " without a readable body"
        return Parts(error=f"HTTP {status}{what}", raw=parsed, status=status)
    text, reasoning, stops = _spoken(parsed)
    # A server that names the budget anywhere is believed.
    told = [FINISHES.get(stop.lower(), stop) for stop in filter(text_of, stops)]
    finish = "length" if "length" in told else next(iter(told), None)
    return Parts(
        content=sound(text),
        reasoning=sound(reasoning),
        finish_reason=finish,
        **_counts(parsed, bool(text or reasoning)),
        tokens_per_second=_speed(parsed),
        served_model=_first(parsed, text_of, "model", "model_instance_id"),
        error=_error(parsed, status, finish, text),
        raw=parsed,
        status=status,
    )


def _parsed(body: object) -> object:
    """The body as JSON, when a server labelled its JSON as plain text."""
    if isinstance(body, (bytes, bytearray)):
        body = bytes(body).decode("utf-8", "replace")
    if not isinstance(body, str) or not body.lstrip().startswith("{"):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _spoken(body: dict[str, Any]) -> tuple[str, str, list[Any]]:
    """Text, reasoning and every word on why the reply ended, from the body's shape."""
    stop = at(body, "stats.stop_reason")
    if body.get("choices") and isinstance(body["choices"], list):
        choice = _map(body["choices"][0])
        text, reasoning = _message(choice.get("message") or choice)
        return text, reasoning, [choice.get("finish_reason"), stop]
    if isinstance(output := body.get("output"), list):
        thoughts = [_prose(item) for item in output if _is_thought(item)]
        texts = [_prose(i) for i in output if _map(i).get("type") in (None, "message")]
        told = at(body, "incomplete_details.reason") or body.get("status")
        return "".join(texts), "\n".join(filter(None, thoughts)), [told, stop]
    message = _map(body.get("message")) or {"content": body.get("content")}
    return *_message(message), [body.get("done_reason"), body.get("stop_type"), stop]


def _message(message: object) -> tuple[str, str]:
    """Text and reasoning of one message; the reasoning has a name per server."""
    if isinstance(message, str):
        return message, ""
    fields, thought = _map(message), ""
    content = fields.get("content")
    if isinstance(content, list):
        thought = _prose([part for part in content if _is_thought(part)])
        content = [part for part in content if not _is_thought(part)]
    text = (
        _prose(content) or _prose(fields.get("text")) or _prose(fields.get("refusal"))
    )
    for name in ("reasoning", "reasoning_content", "thinking", "reasoning_details"):
        found = _prose(fields.get(name))
        if found.strip():
            return text, found
    return text, thought


def _is_thought(part: object) -> bool:
    return str(_map(part).get("type")).startswith(("reasoning", "thinking"))


def _prose(value: object, depth: int = 0) -> str:
    """The text inside a value that may be a string, a part, or a list of parts."""
    if isinstance(value, str):
        return value
    if depth > 4:
        return ""
    if isinstance(value, list):
        return "".join(_prose(part, depth + 1) for part in value)
    fields = _map(value)
    names = ("text", "content", "thinking", "reasoning", "summary", "refusal")
    return next((t for n in names if (t := _prose(fields.get(n), depth + 1))), "")


def _error(
    body: dict[str, Any], status: int, finish: str | None, content: str
) -> str | None:
    """What went wrong, whether the server said so by status, by field or by silence."""
    choices = body.get("choices")
    first = _map(choices[0]) if isinstance(choices, list) and choices else {}
    told = body.get("error") or first.get("error")
    if told:
        return _complaint(told) or "an error without a message"
    if status >= 400 or body.get("object") == "error":
        return _complaint(body) or f"HTTP {status}"
    # Without `choices` it may be a reply in another interface's shape.
    shapes = {"output": list, "message": dict, "content": str}
    is_spoken = any(isinstance(body.get(name), shapes[name]) for name in shapes)
    if not first and not is_spoken:
        said = _complaint({key: body.get(key) for key in ("message", "detail")})
        return said or "the reply has no choices"
    if finish in ABORTED and not content.strip():
        return f"the server stopped: {finish}"
    return None


def _complaint(told: object, depth: int = 0) -> str:
    """The sentence in an error that may be a string or any shape of object."""
    if isinstance(told, str):
        return sound(told)
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
