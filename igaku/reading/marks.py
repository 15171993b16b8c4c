"""Marks: what in a text is no word of it, told by its form and by what its name says.

Brackets that no prose has around one name, a name with its closing twin, a role in a
header. Names are asked only what they speak of: thought, an answer, a call, a role, the
edge of a turn, or looks. So the next family's spelling is read like the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from igaku.lazy import pattern
from igaku.reading.others import ANOTHERS_LINE

NAME = r"[^\W\d][\w▁ :.\-]{0,38}"
NAME_OF_TAG = r"[^\W\d][\w:.\-]{0,38}"
MARK = pattern(
    rf"<[|｜]\s?(?P<pipes>/?{NAME})\s?[|｜]>|<[|｜](?P<opens>{NAME}?)>"
    rf"|<(?P<closes>{NAME}?)[|｜]>|\[[|｜](?P<barred>/?{NAME})[|｜]\]"
    rf"|(?<!<)<(?P<tag>(?:/\s?)?{NAME_OF_TAG})(?P<more>[\s=][^<>\n]{{0,200}}?)?\s?/?>"
    r"|\[(?P<square>/?[A-Z][A-Z0-9_:.\- ]{1,30})\]"
    r"|\[(?P<worded>/?[^\W\d][\w ]{1,30})\]"
)
SPECIAL = ("pipes", "opens", "closes", "barred")
SQUARE = ("square", "worded")
# Any other signs around a name, told by the slash of the closing ones: ◁/think▷.
SIGN = r"(?:<<|>>|\{\{|\}\}|[^\w\s/|\"'、。.,:;!?！？…<>「」『』“”])"
ODD_MARK = rf"(?P<left>{SIGN})%s(?P<name>{NAME})(?P<right>{SIGN})"
ODD_CLOSE = pattern(ODD_MARK % "/")
ODD_START = pattern(r"\A\s*" + ODD_MARK % "")

# What a mark's name speaks of.
THINKING = pattern(
    r"th(?:ink|ought)|reason|reflect|scratch|ponder|delib|cogit|rumin|contempl|rational"
    r"|analysis|analy[sz]e|monolog|musing|introspect|inner|brainstorm|\bchain\b|\bcot\b"
    r"|思考|思索|考え|考察|推論|推理|熟考|생각|추론|숙고"
)
ANSWER = pattern(
    r"answer|final|solution|\bbox\b|response|result|conclusion|output|reply"
    r"|choice|option|select|\bans\b|letter|label|verdict"
    r"|回答|解答|答え|答案|結論|结论|정답|답변"
)
CALL = pattern(
    r"tool|func|invoke|python tag|\bapi\b|\w calls?\b|execut|plugin|\barg(?:ument)?s?\b"
    r"|\bparameters?\b"
)
# The words that a header is made of, beside the role: one of these opens it.
HEADER = frozenset(("start", "begin", "header", "turn", "role", "middle", "inst"))
BESIDE = HEADER | frozenset(("im", "of", "id", "message", "msg", "token", "prompt"))
OWN = r"assistant|model|\w{0,12}bot|ai|gpt|アシスタント|助手|助理|어시스턴트"
OTHER = (
    r"user|human|system|tool|observation|developer|environment|ipython|function"
    r"|ユーザー?|人間|用户|用戶|사용자|系统|システム"
)
ROLE_NAME = pattern(rf"(?P<own>{OWN})|(?P<other>{OTHER})")
ROLE_WORD = pattern(
    rf"\s{{0,2}}(?:(?P<own>{OWN})|(?P<other>{OTHER}))(?!\w)[ \t]*(?=\n|<|\[|$|[:：])"
    r"[:：]?",
    re.IGNORECASE,
)
CHANNEL_NAME = pattern(r"\s?([^\W\d]\w{0,20})[ \t]*(?=[\n<\[]|$)\n?")
ENDING = pattern(
    r"eo[a-z](?: id| token)?|im end|(?:turn|message|msg|reply|response|answer|role) end"
    r"|end ?of ?\w+(?: token)?|end ?(?:turn|text|message|msg|sentence|reply|response)"
    r"|return|call|end|stop|fin|finish|done|pad|endoftext|end of sentence"
)
BEGINNING = pattern(
    r"bo[a-z](?: id| token)?|sop|unk|gmask|start ?of ?text|s"
    r"|(?:begin|start) (?:of )?(?:text|sentence|document|sequence|stream|file)"
)
OPENING = pattern(
    r"^(?:begin(?:ning)?|start|open)(?: of)? | (?:begin|start|open|prefix)$"
)
CLOSING = pattern(
    r"^(?:end(?:ing)?|close|stop|finish)(?: of)? | (?:end|close|stop|suffix)$"
)
NUMBERED = pattern(r"(?P<stem>[^\d]*?[^\d ]) ?\d+")
PLACEHOLDER = pattern(r"(?:unused|reserved|extra|special|ctrl|token)[a-z ]*\d+")
# Tags for looks, and letters in brackets: they are text.
LOOKS = pattern(
    r"[a-z]|br|hr|em|strong|del|ins|sub|sup|code|pre|mark|span|div|font|center|small"
    r"|big|table|thead|tbody|tr|td|th|ul|ol|li|dl|dt|dd|h[1-6]|blockquote|details"
    r"|summary|ruby|rt|rp|img|figure|caption|section|article|html|body|head|title|tt"
    r"|strike|button|label|input|https?:.*|mailto.*|script|style|noscript|iframe|svg"
    r"|path"
    r"|math|form|select|option|textarea|fieldset|legend|nav|main|aside|header|footer"
    r"|address|audio|video|source|track|link|meta|object|embed|canvas|template|picture"
    r"|abbr|cite|dfn|kbd|samp|var|time|data|wbr|bdi|bdo|col|colgroup|map|area|base"
    r"|figcaption|dialog|menu|search|slot|progress|meter|xml"
)
ODD = ("left", "name", "right")
MOST_MARKS = 8


@dataclass(slots=True)
class Mark:
    """One mark of a text: where it stands, and the core of its name."""

    start: int
    end: int
    shape: str  # the group of MARK, or "odd"
    name: str
    core: str
    is_close: bool
    more: str = ""
    kind: str = "unknown"
    is_followed: bool = False  # by words
    precedes: bool = False  # words follow its twin, or it has none
    is_last: bool = False  # of those that close its core


def marks_of(text: str) -> list[Mark]:
    """The marks of a text in order, each with what it is."""
    found = [mark for match in MARK.finditer(text) if (mark := _mark(match))]
    found = sorted([*found, *_odd_marks(text)], key=lambda mark: mark.start)
    openers = {m.core for m in found if not (m.is_close or _is_header(m.name, m.shape))}
    twins = {mark.core for mark in found if mark.is_close} & openers
    thoughtful = set[str]()  # tags for looks whose attributes speak of thought
    kept, at, is_first = list[Mark](), 0, True
    for mark in found:
        is_first = is_first and not text[at : mark.start].strip()
        at = mark.end
        mark.kind = _kind(mark, mark.core in twins, is_first)
        if mark.kind == "text" and THINKING.search(mark.more):
            thoughtful.add(mark.core)
        if mark.core in thoughtful:
            mark.kind = "thought"
        if mark.kind != "text":
            kept.append(mark)
    return _placed(kept, text)


@lru_cache(256)
def role_of(name: str) -> str | None:
    """Whose role a mark's name speaks of: "own", "other", or None."""
    roles = (ROLE_NAME.fullmatch(word) for word in name.split())
    return next((role.lastgroup for role in roles if role), None)


def _placed(marks: list[Mark], text: str) -> list[Mark]:
    """The marks with what stands behind each: an unknown one that nothing follows but
    the end of the turn, or of the text, ends the turn.
    """
    at, is_end, is_followed = len(text), True, False
    closing: dict[str, bool] = {}  # whether words follow the next mark that closes
    for mark in reversed(marks):
        between = text[mark.end : at].strip()
        is_blank = not between or bool(ANOTHERS_LINE.match(between))
        is_followed = is_followed or not is_blank
        if mark.kind in ("unknown", "pair") and not mark.is_close:
            mark.kind = _headed(mark, text)
        if mark.kind == "role" and role_of(mark.name) == "other":
            is_followed = False  # by words of the same turn
        if mark.kind == "edge" and not mark.is_close:
            mark.kind = "text" if closing.get(mark.core) else "end"
        mark.is_followed = is_followed
        if is_end and is_blank and mark.kind in ("unknown", "pair", "edge"):
            is_edge = mark.kind != "pair" or mark.is_close
            mark.kind = "end" if is_edge else mark.kind
        if mark.is_close:
            mark.is_last = mark.core not in closing
            closing[mark.core] = is_followed
        mark.precedes = closing.get(mark.core, True)
        at, is_end = mark.start, mark.kind in ("role", "end")
    return marks


def _headed(mark: Mark, text: str) -> str:
    """What an unknown mark is by the word behind it: a role, a channel, or no more."""
    if ROLE_WORD.match(text, mark.end):
        return "role"
    named = CHANNEL_NAME.match(text, mark.end)
    word = named[1].lower() if named else ""
    if THINKING.match(word) or (mark.shape in SPECIAL and ANSWER.fullmatch(word)):
        return "channel"
    return mark.kind


def _mark(match: re.Match[str]) -> Mark | None:
    """A match as a mark, None where it names nothing."""
    shape = "tag" if match.lastgroup == "more" else str(match.lastgroup)
    name, core, is_close = _named(match[shape], shape)
    if not name and shape not in ("opens", "closes"):
        return None
    more = match["more"] or ""
    return Mark(*match.span(), shape, name, core, is_close, more)


@lru_cache(1024)
def _named(raw: str, shape: str) -> tuple[str, str, bool]:
    """A mark's name, its core, and whether it closes: `<|begin_of_x|>`, `<x|>`, `[/X]`
    are all of the core x, and so are `<x94>` and `<x95>`.
    """
    name = re.sub(r"[\s_▁\-.:]+", " ", raw.strip().lower()).strip()
    is_close = name.startswith("/") or shape == "closes"
    name = name.strip("/ ")
    core = OPENING.sub("", name)
    if core == name and CLOSING.search(name):
        core, is_close = CLOSING.sub("", name), True
    if numbered := NUMBERED.fullmatch(core):
        core = numbered["stem"]
    return name, core or name, is_close


def _odd_marks(text: str) -> list[Mark]:
    """Marks in other signs: closing ones that a slash tells, and what opens them."""
    found = {match.group(*ODD) for match in ODD_CLOSE.finditer(text)}
    start = ODD_START.match(text)
    if start and _begins_thought(start["left"], start["name"]):
        found.add(start.group(*ODD))
    marks = []
    for left, name, right in sorted(found)[:MOST_MARKS]:
        low, opening = name.strip().lower(), f"{left}{name}{right}"
        if left[0] != "[" and (
            THINKING.search(low) or text.lstrip().startswith(opening)
        ):
            for slash in ("/", ""):
                one = re.escape(f"{left}{slash}{name}{right}")
                for match in re.finditer(one, text):
                    marks.append(Mark(*match.span(), "odd", low, low, bool(slash)))
    return marks


def _begins_thought(left: str, name: str) -> bool:
    """Whether signs around a name at the head of a text are a mark, of thought then."""
    low = name.lower()
    is_bracket = left[0] in "<{‹«◁⟨⟪" and len(name) > 2 and not ANSWER.search(low)
    return len(name) < 20 and bool(THINKING.match(low) or is_bracket)


def _kind(mark: Mark, is_paired: bool, is_first: bool) -> str:
    """What a mark is: thought, answer, heading, call, role, channel, end, edge, pair,
    unknown, or text.
    """
    name, core, shape = mark.name, mark.core, mark.shape
    is_token = shape in SPECIAL or shape == "tag"
    if shape == "tag" and (LOOKS.fullmatch(core) or LOOKS.fullmatch(name)):
        return _looks(mark, is_paired, is_first)
    if _is_call(mark, is_paired):
        return "call"
    if THINKING.search(core):
        is_mark = is_token or is_paired or is_first or mark.is_close
        return "thought" if is_mark else "text"
    if core in ("channel", ""):
        return "channel"
    if ANSWER.search(core) and (is_paired or is_token):
        return "end" if mark.is_close and not is_paired else "answer"
    if ANSWER.search(core) and shape in SQUARE and not mark.is_close:
        return "heading"
    if _is_edge(mark, is_paired):
        return "end"
    if _is_header(name, shape):
        return "role"
    if shape == "worded" and not PLACEHOLDER.fullmatch(name):
        return "text"
    is_slashed = mark.is_close and name == core and shape != "closes"
    if is_paired or is_slashed:
        return "pair"
    if mark.is_close and shape in SPECIAL:
        return "end"
    is_opener = is_token or shape == "odd"
    if is_first and is_opener and not (mark.is_close or PLACEHOLDER.fullmatch(name)):
        return "pair"
    is_named = shape != "square" or len(name) > 3 or re.search(r"\W|\d", name)
    return "unknown" if shape != "odd" and is_named else "text"


def _looks(mark: Mark, is_paired: bool, is_first: bool) -> str:
    """What a tag for looks is: text, but for `<s>` around a whole turn."""
    if mark.name != "s":
        return "text"
    if mark.is_close:
        return "edge" if is_paired else "end"
    return "edge" if is_first else "text"


def _is_edge(mark: Mark, is_paired: bool) -> bool:
    """Whether a mark's name says that a text, or a turn, begins or ends there."""
    if mark.shape == "odd" or (mark.shape == "worded" and len(mark.name) < 4):
        return False
    is_whole = BEGINNING.fullmatch(f"begin of {mark.core}") or not is_paired
    is_end = mark.shape != "worded" and is_whole and ENDING.fullmatch(mark.name)
    return bool(is_end or BEGINNING.fullmatch(mark.name))


def _is_call(mark: Mark, is_paired: bool) -> bool:
    """Whether a mark speaks of a tool's call, or of what a tool said."""
    if mark.shape in ("worded", "odd") or not CALL.search(mark.name):
        return False
    is_role = _is_header(mark.name, mark.shape)
    return is_paired or mark.more.startswith("=") or not is_role


@lru_cache(256)
def _is_header(name: str, shape: str) -> bool:
    """Whether a mark's name is made of the words of a turn's header."""
    role, is_square = role_of(name), shape in SQUARE
    if shape == "worded" or (is_square and len(name) < 4):
        return False
    rest = [word for word in name.split() if not ROLE_NAME.fullmatch(word)]
    is_told = role or (not is_square and HEADER.intersection(rest)) or "inst" in rest
    return bool(is_told) and BESIDE.issuperset(rest)
