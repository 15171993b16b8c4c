"""The reply: what came back for one request, read from any server's dialect.

Servers put the reasoning into four different fields or leave it in the text, send
errors with status 200, and count tokens or do not; every such difference ends here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FINISHES = {
    "eos": "stop",
    "eosfound": "stop",
    "stopstringfound": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "word": "stop",
    "completed": "stop",
    "limit": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "maxpredictedtokensreached": "length",
    "contextlengthreached": "length",
    "model_context_window_exceeded": "length",
    "model_length": "length",
    "incomplete": "length",
    "toolcalls": "tool_calls",
    "tool_use": "tool_calls",
}
ABORTED = ("failed", "modelUnloaded", "userStopped", "error", "cancelled")


MESSAGE_END = re.compile(
    r"<\|(?:end|return|call|endoftext|startoftext)\|>|(?=<\|(?:start|channel)\|>)"
)
CHANNEL = re.compile(r"final|analysis|commentary", re.IGNORECASE)
UNMARKED = re.compile(r"\Aanalysis(.*)assistant\s*final", re.DOTALL)
THINK_MARK = re.compile(r"(</?think(?:ing)?>)")


@dataclass(frozen=True)
class Reply:
    """What came back for one request, in the same words whatever the server.

    Unknown is None, never 0 and never a guess, except for `reasoning_tokens`, which
    says in `reasoning_tokens_estimated` when it is one. `raw` is the body, whole.
    """

    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    reasoning_tokens_estimated: bool = False
    tokens_per_second: float | None = None
    served_model: str | None = None
    error: str | None = None
    raw: object = None
    status: int | None = None
    retry_after: float | None = None  # seconds the server asks to be left alone


def read_reply(body: object, status: int = 200) -> Reply:
    """The reply in a server's body, whichever dialect the server speaks.

    >>> body = {"choices": [{"message": {"content": "c", "reasoning": "hm"}}]}
    >>> read_reply(body).content, read_reply(body).reasoning
    ('c', 'hm')
    """
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        return Reply(error=_bare_error(parsed, status), raw=parsed, status=status)
    text, reasoning, stops = _spoken(parsed)
    final, thought = split_channels(text)
    reasoning = _sound(reasoning or thought)
    content = _sound(final)
    finish = _finish(stops)
    counts = _counts(parsed, content, reasoning)
    return Reply(
        content=content,
        reasoning=reasoning,
        finish_reason=finish,
        prompt_tokens=counts.prompt,
        completion_tokens=counts.completion,
        reasoning_tokens=counts.reasoning,
        reasoning_tokens_estimated=counts.estimated,
        tokens_per_second=_speed(parsed),
        served_model=_served_model(parsed),
        error=_error(parsed, status, finish, content),
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


def _bare_error(body: object, status: int) -> str:
    text = _sound(body).strip() if isinstance(body, str) else ""
    if not text:
        return f"HTTP {status} without a readable body"
    return f"HTTP {status}: {text[:500]}"


def _spoken(body: dict[str, Any]) -> tuple[str, str, list[object]]:
    """Text, reasoning and every word on why the reply ended, from the body's shape."""
    stops: list[object] = [_map(body.get("stats")).get("stop_reason")]
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        choice = _map(choices[0])
        text, reasoning = _message(choice.get("message") or choice)
        return text, reasoning, [choice.get("finish_reason"), *stops]
    if isinstance(body.get("output"), list):
        text, reasoning = _items(body["output"])
        details = _map(body.get("incomplete_details"))
        return text, reasoning, [details.get("reason") or body.get("status"), *stops]
    message = _map(body.get("message")) or {"content": body.get("content")}
    text, reasoning = _message(message)
    return text, reasoning, [body.get("done_reason"), body.get("stop_type"), *stops]


def _message(message: object) -> tuple[str, str]:
    """Text and reasoning of one message; the reasoning has a name per server."""
    if isinstance(message, str):
        return message, ""
    fields = _map(message)
    text, thought = _parts(fields.get("content"))
    text = text or _prose(fields.get("text")) or _prose(fields.get("refusal"))
    for name in ("reasoning", "reasoning_content", "thinking", "reasoning_details"):
        found = _prose(fields.get(name))
        if found.strip():
            return text, found
    return text, thought


def _parts(content: object) -> tuple[str, str]:
    """Text and thoughts of a message whose content may be a list of typed parts."""
    if not isinstance(content, list):
        return _prose(content), ""
    thoughts = [p for p in content if _is_thought(p)]
    texts = [p for p in content if not _is_thought(p)]
    return _prose(texts), _prose(thoughts)


def _items(output: list[object]) -> tuple[str, str]:
    """Text and reasoning of a list of output items, as newer interfaces send them."""
    thoughts = [_prose(item) for item in output if _is_thought(item)]
    texts = [_prose(i) for i in output if _map(i).get("type") in (None, "message")]
    return "".join(texts), "\n".join(filter(None, thoughts))


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


def _finish(stops: Iterable[object]) -> str | None:
    """Why the reply ended; a server that names the budget anywhere is believed."""
    given = [stop for stop in stops if isinstance(stop, str) and stop]
    known = [FINISHES.get(stop.lower(), stop) for stop in given]
    return "length" if "length" in known else next(iter(known), None)


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
    if not first and not _speaks(body):
        said = _complaint({key: body.get(key) for key in ("message", "detail")})
        return said or "the reply has no choices"
    if finish in ABORTED and not content.strip():
        return f"the server stopped: {finish}"
    return None


def _speaks(body: dict[str, Any]) -> bool:
    """Whether a body without `choices` is a reply in another interface's shape."""
    if isinstance(body.get("output"), list) or isinstance(body.get("message"), dict):
        return True
    return isinstance(body.get("content"), str)


def _complaint(told: object, depth: int = 0) -> str:
    """The sentence in an error that may be a string or any shape of object."""
    if isinstance(told, str):
        return _sound(told)
    fields = _map(told)
    for name in ("message", "error", "detail", "msg", "type", "code"):
        if fields.get(name) and depth < 4:
            return _complaint(fields[name], depth + 1)
    if not told or (fields and not any(fields.values())):
        return ""
    return _sound(str(told))[:500]


def _served_model(body: dict[str, Any]) -> str | None:
    names = (body.get("model"), body.get("model_instance_id"))
    return next((name for name in names if isinstance(name, str) and name), None)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sound(text: str) -> str:
    """The text without half characters, which no file could hold.

    A reply cut inside an emoji arrives as one half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


@dataclass(frozen=True)
class _Counts:
    prompt: int | None
    completion: int | None
    reasoning: int | None
    estimated: bool


def _counts(body: dict[str, Any], content: str, reasoning: str) -> _Counts:
    """The tokens of a reply in any server's names; a zero that cannot be is unknown."""
    usage = _map(body.get("usage")) or _map(body.get("stats")) or body
    timings = _map(body.get("timings"))
    prompt = _first_count(
        usage, "prompt_tokens", "input_tokens", "prompt_eval_count", "tokens_evaluated"
    )
    completion = _first_count(
        usage,
        "completion_tokens",
        "output_tokens",
        "total_output_tokens",
        "eval_count",
        "tokens_predicted",
    )
    completion = completion or _count(timings.get("predicted_n")) or completion
    if completion == 0 and (content or reasoning or not prompt):
        completion = None
    thought = _thought_tokens(usage, completion, content, reasoning)
    if thought is not None or not reasoning.strip() or completion is None:
        return _Counts(prompt or None, completion, thought, False)
    # Characters stand in for tokens here: the split is right to a few per cent only.
    share = len(reasoning) / (len(reasoning) + len(content))
    return _Counts(prompt or None, completion, round(completion * share), True)


def _thought_tokens(
    usage: dict[str, Any], completion: int | None, content: str, reasoning: str
) -> int | None:
    """The reasoning tokens a server reports, unless its zero is plainly untrue."""
    counts = (
        _count(_map(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        _count(_map(usage.get("output_tokens_details")).get("reasoning_tokens")),
        _count(usage.get("reasoning_output_tokens")),
        _count(usage.get("reasoning_tokens")),
    )
    found = next((count for count in counts if count is not None), None)
    silent = not content.strip() and completion != 0
    if found == 0 and (reasoning.strip() or silent or completion is None):
        return None
    return found


def _first_count(usage: dict[str, Any], *names: str) -> int | None:
    counts = (_count(usage.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 1e12 and value == int(value) else None


def _speed(body: dict[str, Any]) -> float | None:
    """Tokens generated per second as the server measured them."""
    stats, timings = _map(body.get("stats")), _map(body.get("timings"))
    for told in (stats.get("tokens_per_second"), timings.get("predicted_per_second")):
        if speed := _positive(told):
            return speed
    tokens = _positive(body.get("eval_count"))
    nanoseconds = _positive(body.get("eval_duration"))
    return tokens / nanoseconds * 1e9 if tokens and nanoseconds else None


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 < value < 1e300 else None


def split_channels(text: str) -> tuple[str, str]:
    """The final text and the reasoning of a text that a server did not split itself.

    Both marks of reasoning are read, harmony's channels and <think>, closed or not.

    >>> split_channels("<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
    ...                "<|channel|>final<|message|>c<|return|>")
    ('c', 'hm')
    >>> split_channels("<think>never closed")
    ('', 'never closed')
    """
    if unmarked := UNMARKED.match(text):
        return text[unmarked.end() :].strip(), unmarked[1].strip()
    final, thought = _split_harmony(text) if "<|" in text else (text, "")
    final, more = _split_think(final) if "think" in final else (final, "")
    return final, _joined(thought, more)


def _split_harmony(text: str) -> tuple[str, str]:
    pieces = [_channel(chunk) for chunk in MESSAGE_END.split(text)]
    spoken = [(channel, said) for channel, said in pieces if said]
    if all(channel == "loose" for channel, _ in spoken):
        return _joined(*(said for _, said in spoken)), ""
    if spoken[0][0] == "loose":
        # The header of the first message was the end of the prompt.
        spoken[0] = ("analysis", spoken[0][1])
    last = dict(spoken)
    final = last.get("final") or last.get("plain") or last.get("loose") or ""
    thoughts = (said for ch, said in spoken if ch in ("analysis", "commentary"))
    return final, _joined(*thoughts)


def _channel(chunk: str) -> tuple[str, str]:
    """The channel and the text of one harmony message, however torn its header is."""
    head, mark, body = chunk.partition("<|message|>")
    if mark:
        named = CHANNEL.search(head)
        unnamed = "analysis" if "<|channel|>" in head else "plain"
        said = body.replace("<|message|>", "")
        return named[0].lower() if named else unnamed, said.strip()
    if chunk.startswith("<|channel|>"):
        # A header that lost its <|message|> runs straight into the text.
        rest = chunk.removeprefix("<|channel|>").lstrip("> \n")
        named = CHANNEL.match(rest)
        said = rest[named.end() :] if named else rest
        return named[0].lower() if named else "analysis", said.strip()
    return "loose", "" if chunk.startswith("<|start|>") else chunk.strip()


def _split_think(text: str) -> tuple[str, str]:
    final, thoughts, thinking = "", list[str](), False
    for piece in THINK_MARK.split(text):
        if THINK_MARK.fullmatch(piece):
            if piece.startswith("</") and not thinking:
                # The opening mark was the end of the prompt.
                thoughts.append(final)
                final = ""
            thinking = not piece.startswith("</")
        elif thinking:
            thoughts.append(piece)
        else:
            final += piece
    return (final.strip(), _joined(*thoughts)) if thoughts else (text, "")


def _joined(*texts: str) -> str:
    return "\n".join(text.strip() for text in texts if text.strip())
