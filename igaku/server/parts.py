"""The parts of a reply: what came back for one request, whatever the server's dialect.

Servers put the reasoning into many different fields or leave it in the text, send
errors with status 200, and count tokens or do not. Where something stands ends here;
what a text is, `igaku.reading` decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import Any, TypeVar

from igaku.server.bodies import LABELS, said_in

T = TypeVar("T")

# Why a reply ended, by what is in a server's word for it: the first that fits. What is
# ended from outside is a piece of a reply, which nobody may grade.
LOOPED = "repetition"  # by the server's own guard against loops
ABORTED, WITHHELD = "stopped", "withheld the reply"
CALLED, DECLINED = "tool_calls", "refusal"  # by the model, instead of an answer
ENDS = {
    LOOPED: r"repeti|repeat|loop|degenerat",
    ABORTED: r"error|abort|cancel|fail|unload|^user|by_?user|time|deadline|interrupt"
    r"|insufficient|crash|disconnect|kill|evict|preempt|shutdown|exception|in_progress"
    r"|queued|rate_?limit",
    WITHHELD: r"filter|safety|sensitive|recitation|blocklist|prohibited|spii|guardrail"
    r"|toxic|moderat",
    CALLED: r"tool|function|^pause",
    DECLINED: r"refus|declin",
    "length": r"length|limit|max\w*tokens|context|incomplete",
    "stop": r"^(?:finish(?:ed)?_?)?(?:stop|eos|end|complete|done|word|$)",
}
FINISHES = {end: re.compile(pattern) for end, pattern in ENDS.items()}

# A field, or a type of part, that holds thought, whoever named it.
THOUGHT = re.compile(r"think|thought|reasoning|analysis|scratchpad|rationale", re.I)
NO_THOUGHT = re.compile(
    r"token|effort|signature|encrypt|time|duration|budget|count|config|format|level"
    r"|mode|enable|_id$",
    re.I,
)
ASIDE = ("analysis", "commentary")  # channels, and phases, beside the final one
CALL = re.compile(r"(?:tool|function)_?(?:call|use)$|_call$")
NAMES = ("function.name", "name", "tool", "tool_name", "metadata.tool_name")
# Where a text stands in a message or a part, and in a thought: the first that is there.
SAID = ("content", "text", "refusal")
MUSED = ("text", "content", "thinking", "reasoning", "summary", "refusal")
MUSINGS = ("reasoning", "reasoning_content", "thinking", "reasoning_details")
ALONE = ("content", "response", "generated_text")  # the text, without any choices
USUAL = {*SAID, *LABELS, "annotations", "channel", "phase"}
DEEPEST = 8
MOST = 10**18
NEEDED = ("model", "messages", "input")  # without them there is no question
REFUSED = re.compile(
    r"extra.?forbidden|extra (?:inputs?|fields?)|value_error\.extra|additional propert"
    r"|un(?:recogni[sz]ed|known|supported|expected|permitted)|invalid (?:field|param)"
    r"|not (?:\w+ )?(?:supported|permitted|allowed|recogni[sz]ed|known)"
    r"|does(?: not|n't) (?:support|accept|know)",
    re.IGNORECASE,
)
# Where a sentence goes on to the fields that the server would take.
TAKEN = re.compile(
    r"expected one of|did you mean|(?:allowed|supported|valid) \w+ ?(?:are|:)"
)
SENTENCE = re.compile(r"(?<=[.!?;])\s|\n|\},\s*\{")
# What is counted → where servers tell it, the first that is there; the prompt's and the
# completion's tokens may stand elsewhere too, see `_counts`.
COUNTS = {
    "prompt_tokens": "prompt_tokens input_tokens prompt_eval_count tokens_evaluated",
    "completion_tokens": "completion_tokens output_tokens total_output_tokens"
    " eval_count tokens_predicted",
    "reasoning_tokens": "completion_tokens_details.reasoning_tokens"
    " output_tokens_details.reasoning_tokens reasoning_output_tokens reasoning_tokens",
    "cached_tokens": "prompt_tokens_details.cached_tokens"
    " input_tokens_details.cached_tokens cache_read_input_tokens"
    " prompt_cache_hit_tokens",
}


@dataclass(frozen=True)
class Parts:
    """What came back for one request, under the same names whatever the server.

    `content` and `reasoning` are the texts as they came, not yet taken apart. Unknown
    is None, never 0 and never a guess. `finish_reason` is `stop`, `length`,
    `tool_calls`, `refusal`, `repetition` (ended by the server's guard against loops),
    else the server's own word. `raw` is the body, whole: of a stream, its text.
    """

    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None  # of the prompt, not computed anew
    reply_id: str | None = None
    tokens_per_second: float | None = None
    served_model: str | None = None
    error: str | None = None
    raw: object = None
    status: int | None = None
    retry_after: float | None = None  # seconds the server asks to be left alone
    tool: str | None = None  # called, as a rule instead of an answer


def parts_of(body: object, status: int = 200) -> Parts:
    """The parts of a server's body, whichever dialect the server speaks."""
    kept, told = said_in(body)
    if told is None:
        said = sound(kept).strip()[:500] if isinstance(kept, str) else ""
        what = f": {said}" if said else " without a readable body"
        return Parts(error=f"HTTP {status}{what}", raw=kept, status=status)
    message, ends = _message(told), _ends(told)
    said, thought = heard(message)
    return Parts(
        content=sound(said),
        reasoning=sound(thought),
        finish_reason=DECLINED if _is_declined(message) else _finish(ends),
        **_counts(told, bool(said or thought)),
        tokens_per_second=_speed(told),
        reply_id=first(told, text_of, "id", "response_id"),
        served_model=first(told, text_of, "model", "model_instance_id"),
        error=_error(told, status) or _broken(told, message, ends),
        tool=next(_tools(told), None),
        raw=kept,
        status=status,
    )


def _choice(body: dict[str, Any]) -> dict[str, Any]:
    """The choice that counts: that of index 0, else the first."""
    choices = maps(body.get("choices"))
    of_0 = (c for c in choices if str(c.get("index")) == "0")
    return next(of_0, next(iter(choices), {}))


def _message(body: dict[str, Any]) -> object:
    """What of a body is the model's, by the body's shape; None where nothing is."""
    if choice := _choice(body):
        message = choice.get("message") or choice
        thought = {name: choice[name] for name in choice if _is_musing(name)}
        return thought | message if isinstance(message, dict) else message
    if isinstance(output := body.get("output"), list):
        thoughts = [mused(item) for item in output if _is_thought(item)]
        texts = [i for i in output if _map(i).get("type") in (None, "message")]
        texts = [{"type": "message"} | _map(i) for i in texts if not _is_thought(i)]
        return {"reasoning": "\n".join(filter(None, thoughts)), "content": texts}
    if isinstance(body.get("message"), dict):
        return body["message"]
    told = {name: body[name] for name in body if _is_musing(name)}
    texts = [body[name] for name in ALONE if isinstance(body.get(name), str | list)]
    return told | {"content": texts[0]} if texts else None


def heard(value: object, depth: int = 0) -> tuple[str, str]:
    """What a message, a part or a list of parts says, and what it thinks.

    >>> heard([{"type": "think", "think": "b?"}, {"type": "text", "text": "d"}])
    ('d', 'b?')
    """
    if depth > DEEPEST or value is None or isinstance(value, bool):
        return "", ""
    if isinstance(value, list):
        pairs = [pair for part in value if any(pair := heard(part, depth + 1))]
        # Texts with a thought between them are not one word.
        runs = groupby(pairs, key=lambda pair: bool(pair[0]))
        texts = ["".join(said for said, _ in run) for is_said, run in runs if is_said]
        return "\n".join(texts), "".join(thought for _, thought in pairs)
    if not isinstance(value, dict):
        return (value, "") if isinstance(value, str) else (str(value) * bool(depth), "")
    if _is_thought(value):
        return "", mused(value, depth)
    if depth and "type" not in value and not USUAL.issuperset(_spoken(value)):
        said, inner = json.dumps(_spoken(value), ensure_ascii=False), ""
    else:
        pairs = [heard(value[name], depth + 1) for name in SAID if name in value]
        said = next((said for said, _ in pairs if said), "")
        inner = "".join(thought for _, thought in pairs)
    return said, _both(_musing(value, depth), inner)


def _spoken(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in fields if not _is_musing(name)}


def _musing(fields: dict[str, Any], depth: int) -> str:
    """The thought in a message's own fields, which often repeat each other."""
    names = dict.fromkeys((*MUSINGS, *filter(_is_musing, fields)))
    told = (mused(fields[name], depth + 1) for name in names if name in fields)
    aside = (v for n, v in fields.items() if isinstance(v, dict) and n not in SAID)
    inner = (_musing(value, depth + 1) for value in aside if depth < DEEPEST)
    return next((thought for thought in chain(told, inner) if thought.strip()), "")


def _both(thought: str, other: str) -> str:
    """Two thoughts as one, unless one holds the other."""
    if other.strip() in thought:
        return thought
    return other if thought.strip() in other else f"{thought}\n{other}"


def mused(value: object, depth: int = 0) -> str:
    """The text inside a thought, which may be a string, a part, or a list of parts."""
    if isinstance(value, str):
        return value
    if depth > DEEPEST:
        return ""
    if isinstance(value, list):
        return "".join(mused(part, depth + 1) for part in value)
    fields = _map(value)
    names = dict.fromkeys((*MUSED, *filter(_is_musing, fields)))
    told = (mused(fields[name], depth + 1) for name in names if name in fields)
    return next(filter(None, told), "")


def _is_musing(name: str) -> bool:
    """Whether a field of this name holds thought."""
    return bool(THOUGHT.search(str(name))) and not NO_THOUGHT.search(str(name))


def _is_thought(part: object) -> bool:
    """Whether a part of a message, or an item of an output, is thought."""
    fields = _map(part)
    is_aside = fields.get("channel") in ASIDE or fields.get("phase") in ASIDE
    is_typed = THOUGHT.search(str(fields.get("type"))) is not None
    return is_typed or is_aside or fields.get("thought") is True


def _tools(body: dict[str, Any]) -> Iterator[str]:
    """The names of the tools that a reply calls."""
    message = _map(_choice(body).get("message")) or _map(body.get("message"))
    parts = [*maps(message.get("content")), *maps(body.get("output"))]
    calls = [part for part in parts if CALL.search(str(part.get("type")))]
    calls += [*maps(message.get("tool_calls")), _map(message.get("function_call"))]
    for call in filter(None, calls):
        name = first(call, text_of, *NAMES)
        yield shortened(sound(name or "without a name"))


def _is_declined(message: object) -> bool:
    """Whether a message says nothing but a refusal, in a field of its own."""
    fields = _map(message)
    parts = [fields, *maps(fields.get("content"))]
    parts += [part for each in parts[1:] for part in maps(each.get("content"))]
    told = [part for part in parts if text_of(part.get("refusal"))]
    texts = (text_of(part.get(name)) for part in parts for name in ("content", "text"))
    return bool(told) and not any(texts)


def _ends(body: dict[str, Any]) -> list[str]:
    """Every word of a body on why the reply ended."""
    told = [_choice(body).get("finish_reason"), body.get("finish_reason")]
    if isinstance(body.get("output"), list):
        told += [at(body, "incomplete_details.reason") or body.get("status")]
    told += [body.get(name) for name in ("done_reason", "stop_type", "stop_reason")]
    told += [at(body, "stats.stop_reason")]
    words = (text_of(_map(word).get("type", word)) for word in told)
    return [word for word in words if word and word.casefold() not in ("null", "none")]


def _kind(end: str) -> str | None:
    """The kind of end that a server's word names, None for an unknown one."""
    word = end.rpartition(".")[2].casefold()
    return next((kind for kind, shape in FINISHES.items() if shape.search(word)), None)


def _finish(ends: list[str]) -> str | None:
    """The word on why the reply ended: one that names a loop or the budget counts."""
    kinds = [_kind(end) for end in ends]
    told = [
        end if kind in (None, ABORTED, WITHHELD) else kind
        for end, kind in zip(ends, kinds, strict=True)
    ]
    worst = [kind for kind in (LOOPED, "length") if kind in kinds]
    return next(iter([*worst, *told]), None)


def _error(body: dict[str, Any], status: int) -> str | None:
    """What went wrong, by the server's own word or by its status."""
    if told := body.get("error") or _choice(body).get("error"):
        return _complaint(told) or "an error without a message"
    if status >= 400 or body.get("object") == "error":
        return _complaint(body) or f"HTTP {status}"
    return None


def _broken(body: dict[str, Any], message: object, ends: list[str]) -> str | None:
    """What went wrong with a reply of which no error was told."""
    if message is None:
        said = _complaint({key: body.get(key) for key in ("message", "detail")})
        return said or "the reply has no choices"
    kinds = ((end, _kind(end)) for end in ends)
    broken = (f"the server {k}: {end}" for end, k in kinds if k in (ABORTED, WITHHELD))
    return next(broken, None)


def _complaint(told: object, depth: int = 0) -> str:
    """The sentence in an error that may be a string or any shape of object."""
    if isinstance(told, str):
        return sound(told)
    if isinstance(told, list) and depth < 4:
        complaints = (_complaint(each, depth + 1) for each in told)
        return sound("; ".join(filter(None, complaints)))[:2000]
    fields = _map(told)
    for name in ("message", "error", "detail", "msg", "type", "code"):
        if fields.get(name) and depth < 4:
            said, loc = _complaint(fields[name], depth + 1), fields.get("loc")
            place = ".".join(map(str, loc)) if isinstance(loc, list) else ""
            return f"{place}: {said}" if place else said
    if not told or (fields and not any(fields.values())):
        return ""
    return sound(str(told))[:500]


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def maps(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


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
    told = {name: first(usage, _count, *COUNTS[name].split()) for name in COUNTS}
    prompt, completion = told["prompt_tokens"] or None, told["completion_tokens"]
    completion = completion or _count(at(body, "timings.predicted_n")) or completion
    if completion == 0 and (is_spoken or not prompt):
        completion = None
    told |= {"prompt_tokens": prompt, "completion_tokens": completion}
    if told["cached_tokens"] is None:
        told["cached_tokens"] = _count(at(body, "timings.cache_n"))
    return told


def _speed(body: dict[str, Any]) -> float | None:
    """Tokens generated per second as the server measured them."""
    told = ("stats.tokens_per_second", "timings.predicted_per_second")
    if speed := first(body, positive, *told):
        return speed
    tokens = positive(body.get("eval_count"))
    nanoseconds = positive(body.get("eval_duration"))
    return tokens / nanoseconds * 1e9 if tokens and nanoseconds else None


# --- the fields of a request that a strict server does not take -----------------------


def unknown_fields(refused: Parts, sent: Mapping[str, Any]) -> list[str]:
    """The fields among those sent that a server says it does not take.

    >>> said = "Unrecognized request argument supplied: top_k"
    >>> unknown_fields(Parts(error=said, status=400), {"top_k": 0, "top_p": 1.0})
    ['top_k']
    """
    if refused.status not in (400, 422):
        return []
    told = filter(REFUSED.search, SENTENCE.split(refused.error or ""))
    words = (re.findall(r"[a-zA-Z]\w*", TAKEN.split(each)[0]) for each in told)
    names = dict.fromkeys(name for each in words for name in each)
    return [name for name in names if name in sent and name not in NEEDED]


def with_way_out(refused: Parts, sent: Mapping[str, Any]) -> Parts:
    """The refusal with the fields that it is about, and how to leave them out."""
    names = unknown_fields(refused, sent)
    if not names:
        return refused
    nulls = ", ".join(f"{name}: null" for name in names)
    told = (
        f"the server does not take {', '.join(names)} "
        f"({str(refused.error).rstrip('.')}): `extra_body: {{{nulls}}}` leaves it out"
    )
    return replace(refused, error=told)


# --- what stands at a place of a body -------------------------------------------------


def at(body: object, place: str) -> object:
    """What stands at a place such as `usage.prompt_tokens`, None for nothing."""
    for key in place.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def first(body: object, kind: Callable[[object], T | None], *places: str) -> T | None:
    """What a kind makes of the first place where there is such, None for nowhere."""
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
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:15])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 1e12 and value == int(value) else None


def positive(value: object) -> float | None:
    """The value if it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e300 else None


def whole(value: object) -> int | None:
    """The value if it is a whole number above 0 that a size or a count may have."""
    return value if type(value) is int and 0 < value < MOST else None
