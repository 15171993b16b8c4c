"""Turns: a text that no server has split, taken apart by what its marks look like.

A mark is told by its form: brackets that no prose has around one name, a name with its
closing twin, a role in a header. Names are asked only what they speak of: thought, an
answer, a role, the end, or looks. So the next family's spelling is read like the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from igaku.lazy import pattern
from igaku.reading.harmony import as_marks

NAME = r"[^\W\d][\w▁ :.\-]{0,38}"
NAME_OF_TAG = r"[^\W\d][\w:.\-]{0,38}"
MARK = pattern(
    rf"<[|｜]\s?(?P<pipes>/?{NAME})\s?[|｜]>|<[|｜](?P<opens>{NAME}?)>"
    rf"|<(?P<closes>{NAME}?)[|｜]>|\[[|｜](?P<barred>/?{NAME})[|｜]\]"
    rf"|(?<!<)<(?P<tag>(?:/\s?)?{NAME_OF_TAG})(?P<more>\s[^<>\n]{{0,200}}?)?\s?/?>(?!>)"
    r"|\[(?P<square>/?[A-Z][A-Z0-9_ ]{1,30})\]"
)
# Any other signs around a name, told by the slash of the closing ones: ◁/think▷.
SIGN = r"(?:<<|>>|\{\{|\}\}|[^\w\s/|\"'、。.,:;!?！？…<>「」『』“”])"
ODD_MARK = rf"(?P<left>{SIGN})%s(?P<name>{NAME})(?P<right>{SIGN})"
ODD_CLOSE = pattern(ODD_MARK % "/")
ODD_START = pattern(r"\A\s*" + ODD_MARK % "")
# A mark that the end of the text cuts in half.
TORN = pattern(r"(?:<(?:[|｜]/?[\w▁]*[|｜]?|/[\w:]*)|◁/?\w*|\[/[A-Z_]*){1,8}\Z")
FENCE = pattern(r"```(?:think|thought|reason)\w*\n([^`]*(?:`{1,2}[^`]+)*)(```)?")

# What a mark's name speaks of.
THOUGHT = pattern(
    r"th(?:ink|ought)|reason|reflect|scratch|ponder|delib|cogit|rumin|contempl|rational"
    r"|analysis|analy[sz]e|monolog|musing|introspect|inner|brainstorm|\bchain\b|\bcot\b"
    r"|思考|思索|考え|考察|推論|推理|熟考|생각|추론|숙고"
)
ANSWER = pattern(
    r"answer|final|solution|\bbox\b|response|result|conclusion|output|reply"
    r"|choice|option|select|\bans\b|letter|label|verdict"
    r"|回答|解答|答え|答案|結論|结论|정답|답변"
)
ROLE = pattern(
    r"(?:im|header|turn|role|message|msg)? ?(?:start|begin|header)(?: (?:of|id|turn"
    r"|header|message|role))*|(?:start|begin)(?: of)? (?:turn|header|message|role)"
    r"(?: id)?|turn|inst|(?:user|human|system|assistant|model|bot|tool|observation"
    r"|developer|environment|ipython|function)(?: (?:turn|start|begin|message))?"
)
ROLES = {
    "assistant": "own", "model": "own", "bot": "own", "ai": "own", "gpt": "own",
    **dict.fromkeys(("user", "human", "system", "tool", "observation"), "other"),
    **dict.fromkeys(("developer", "environment", "ipython", "function"), "other"),
}  # fmt: skip
ROLE_WORD = pattern(
    rf"\s{{0,2}}({'|'.join(ROLES)})\b[ \t]*(?=\n|<|\[|$)", re.IGNORECASE
)
CHANNEL_NAME = pattern(r"\s?([^\W\d]\w{0,20})[ \t]*\n?")
ENDING = pattern(
    r"eo[a-z](?: id)?|im end|(?:turn|message|msg|reply|response|answer) end"
    r"|end ?of ?\w+|end ?(?:turn|text|message|msg|sentence|reply|response)|return|call"
    r"|end|stop|fin|finish|done|pad|endoftext|end of sentence|startoftext|s"
)
OPENING = pattern(r"^(?:begin|start|open)(?: of)? | (?:begin|start|open|prefix)$")
CLOSING = pattern(r"^(?:end|close|stop|finish)(?: of)? | (?:end|close|stop|suffix)$")
# Tags for looks, and letters in brackets: they are text.
LOOKS = pattern(
    r"[a-z]|br|hr|em|strong|del|ins|sub|sup|code|pre|mark|span|div|font|center|small"
    r"|big|table|thead|tbody|tr|td|th|ul|ol|li|dl|dt|dd|h[1-6]|blockquote|details"
    r"|summary|ruby|rt|rp|img|figure|caption|section|article|html|body|head|title|tt"
    r"|strike|button|label|input|https?:.*|mailto.*|script|style|noscript|iframe|svg|path"
    r"|math|form|select|option|textarea|fieldset|legend|nav|main|aside|header|footer"
    r"|address|audio|video|source|track|link|meta|object|embed|canvas|template|picture"
    r"|abbr|cite|dfn|kbd|samp|var|time|data|wbr|bdi|bdo|col|colgroup|map|area|base"
    r"|figcaption|dialog|menu|search|slot|progress|meter|xml"
)
# What a model that goes on by itself writes next: another's line, or a new question.
ANOTHERS_LINE = pattern(
    r"(?:^|(?<=[^\x00-\x7f]))(?P<word>user|human|system)[ \t]*\n"
    r"|^[#*> \t]{0,6}(?:"
    r"(?P<other>user|human|ユーザー?|利用者|质问者|質問者|用户|用戶|사용자)"
    r"|(?P<asks>(?:next )?question|exercise|problem|(?:次の)?(?:問題|質問)|問|设问|题目"
    r"|下一题|問題文|问题|問題|질문|문제|類題|例題|練習問題|別の問題|another question)"
    r")[ \t]*[0-9０-９A-Z]{0,5}[*]{0,2}[ \t]*[:：][*]{0,2}",
    re.IGNORECASE | re.MULTILINE,
)
ANSWERED = pattern(
    r"(?:answer|答え|解答|回答|正解|正答|答案|정답|結論)[^\n]{0,12}[a-h]"
    r"|^[\W_]{0,6}[a-h](?:[\s,、と]{1,3}[a-h]){0,4}[\W_]{0,3}(?:です。?)?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
POSED = pattern(
    r"(?:^|\n)[ \t]*[(（]?[a-hA-H][)）.．:：、].*\n[ \t]*[(（]?[b-hB-H][)）.．:：、]"
    r"|(?:answer|答え|解答|回答|正解|答案|정답)\s*[:：はis]|どれか|選べ|which of|哪",
    re.IGNORECASE,
)
ODD = ("left", "name", "right")
# What a text has that holds a mark, a header or a line of another.
NO_PLAIN_TEXT = pattern(r"[^\w\s,.、。・()（）「」]|assistant|analysis|commentary|\n")
MOST_MARKS, LONGEST_MARK, ROUNDS = 8, 40, 8
LAST = 200  # characters in which a torn mark may stand
POSED_WITHIN = 2000  # characters


@dataclass(frozen=True)
class Turn:
    """The model's own turn: what it said, what it thought, which marks stayed unknown.

    `is_closed` is False where the text ends inside thought.
    """

    said: str
    thought: str = ""
    marks: tuple[str, ...] = ()
    is_closed: bool = True


@dataclass
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


@dataclass
class Told:
    """What has been heard of a turn so far, piece by piece."""

    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)  # the open marks of thought
    has_spoken: bool = False
    is_over: bool = False
    is_others: bool = False

    def hear(self, text: str) -> None:
        """Take a piece of text for what it is at this place."""
        if self.thinking:
            self.thought.append(text)
        elif not (self.is_over or self.is_others):
            self.said.append(text)
            self.has_spoken = self.has_spoken or bool(text.strip())


def turn_of(text: str) -> Turn:
    """The final text and the thought of a text that a server did not split itself.

    >>> turn_of("<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
    ...         "<|channel|>final<|message|>c<|return|>").said
    'c'
    >>> turn_of("[MUSE]b?[/MUSE] d<|fin|>")
    Turn(said='d', thought='b?', marks=(), is_closed=True)
    """
    if not NO_PLAIN_TEXT.search(text):
        return Turn(text)
    turn = _split(text)
    for _ in range(ROUNDS):  # what is left may begin like a turn of its own
        again = _split(turn.said)
        if again.said == turn.said:
            break
        thought = "\n".join(filter(None, (turn.thought, again.thought)))
        is_closed = turn.is_closed and again.is_closed
        turn = Turn(again.said, thought, again.marks, is_closed)
    return turn


def _split(text: str) -> Turn:
    """A text split once, as it is where nothing in it is a mark."""
    shown = FENCE.sub(_fenced, as_marks(text))
    told, at = Told(), 0
    for mark in _marks(shown):
        if mark.start < at:
            continue
        told.hear(shown[at : mark.start])
        at = _taken(told, mark, shown)
        if told.is_over:
            break
    else:
        rest = shown[at:]
        told.hear(rest[:-LAST] + TORN.sub("", rest[-LAST:]))
    said = _own_lines("".join(told.said))
    thought = "\n".join(filter(None, (piece.strip() for piece in told.thought)))
    marks = tuple(dict.fromkeys(told.marks))[:MOST_MARKS]
    said = said if said == text else said.strip()
    return Turn(said, thought, marks, is_closed=not told.thinking)


def _fenced(found: re.Match[str]) -> str:
    return f"<think>{found[1]}" + "</think>" * bool(found[2])


# --- marks ----------------------------------------------------------------------------


def _marks(text: str) -> list[Mark]:
    """The marks of a text in order, each with what it is."""
    found = [mark for match in MARK.finditer(text) if (mark := _mark(match))]
    found = sorted([*found, *_odd_marks(text)], key=lambda mark: mark.start)
    openers = {m.core for m in found if not m.is_close and not ROLE.fullmatch(m.name)}
    twins = {mark.core for mark in found if mark.is_close} & openers
    thoughtful = set[str]()  # tags for looks whose attributes speak of thought
    kept, at, is_first = list[Mark](), 0, True
    for mark in found:
        is_first = is_first and not text[at : mark.start].strip()
        at = mark.end
        mark.kind = _kind(mark, mark.core in twins, is_first)
        if mark.kind == "text" and THOUGHT.search(mark.more):
            thoughtful.add(mark.core)
        if mark.core in thoughtful:
            mark.kind = "thought"
        if mark.kind != "text":
            kept.append(mark)
    return _placed(kept, text)


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
        mark.is_followed = is_followed
        if is_end and is_blank and mark.kind in ("unknown", "pair"):
            mark.kind = "end" if mark.kind == "unknown" or mark.is_close else mark.kind
        if mark.is_close:
            closing[mark.core] = is_followed
        mark.precedes = closing.get(mark.core, True)
        at, is_end = mark.start, mark.kind in ("role", "end")
    return marks


def _mark(match: re.Match[str]) -> Mark | None:
    """A match as a mark: `<|begin_of_x|>`, `<x|>`, `[/X]` are all of the name x."""
    told = match.groupdict()
    more = told.pop("more") or ""
    shape, raw = next((k, v) for k, v in told.items() if v is not None)
    name = re.sub(r"[\s_▁\-.:]+", " ", raw.strip().lower()).strip()
    is_close = name.startswith("/") or shape == "closes"
    name = name.strip("/ ")
    if not name and shape not in ("opens", "closes"):
        return None
    core = OPENING.sub("", name)
    if core == name and CLOSING.search(name):
        core, is_close = CLOSING.sub("", name), True
    return Mark(*match.span(), shape, name, core or name, is_close, more)


def _odd_marks(text: str) -> list[Mark]:
    """Marks in other signs: closing ones that a slash tells, and what opens them."""
    found = {match.group(*ODD) for match in ODD_CLOSE.finditer(text)}
    start = ODD_START.match(text)
    if start and THOUGHT.match(start["name"].lower()) and len(start["name"]) < 20:
        found.add(start.group(*ODD))
    marks = []
    for left, name, right in sorted(found)[:MOST_MARKS]:
        low, opening = name.strip().lower(), f"{left}{name}{right}"
        if left[0] != "[" and (
            THOUGHT.search(low) or text.lstrip().startswith(opening)
        ):
            for slash in ("/", ""):
                one = re.escape(f"{left}{slash}{name}{right}")
                for match in re.finditer(one, text):
                    marks.append(Mark(*match.span(), "odd", low, low, bool(slash)))
    return marks


def _kind(mark: Mark, is_paired: bool, is_first: bool) -> str:
    """What a mark is: thought, answer, role, end, pair, channel, unknown, or text."""
    name, core, shape = mark.name, mark.core, mark.shape
    is_special = shape in ("pipes", "opens", "closes", "barred")
    if shape == "tag" and (LOOKS.fullmatch(core) or LOOKS.fullmatch(name)):
        return "end" if name == "s" and mark.is_close and not is_paired else "text"
    if THOUGHT.search(core):
        is_mark = is_special or shape == "tag" or is_paired or is_first or mark.is_close
        return "thought" if is_mark else "text"
    if core == "channel" or core == "" or name.startswith("unused"):
        return "channel"
    if ANSWER.search(core) and (is_paired or is_special or shape == "tag"):
        return "end" if mark.is_close and not is_paired else "answer"
    if ROLE.fullmatch(name) and (shape != "square" or core == "inst"):
        return "role"
    is_slashed = mark.is_close and name == core and shape != "closes"
    if is_paired or (is_slashed and not ENDING.fullmatch(name)):
        return "pair"
    if ENDING.fullmatch(name) or (mark.is_close and is_special):
        return "end"
    if is_first and not mark.is_close and shape in ("pipes", "opens", "barred", "tag"):
        return "pair"
    is_token = shape != "square" or len(name) > 3 or re.search(r"\W|\d", name)
    return "unknown" if shape != "odd" and is_token else "text"


# --- one mark after the other ---------------------------------------------------------


def _taken(told: Told, mark: Mark, text: str) -> int:
    """Take one mark into account; where the text goes on."""
    raw, kind = text[mark.start : mark.end], mark.kind
    if kind == "channel":
        return _channel(told, mark, text)
    if kind == "pair":
        kind = "thought" if _precedes_an_answer(told, mark) else "unknown"
    if kind == "thought":
        _think(told, mark)
    elif told.thinking and kind not in ("role", "end"):
        told.thought.append(raw)
    elif kind == "role":
        return _header(told, mark, text)
    elif kind == "end":
        _end(told, text[mark.end :])
    elif kind == "answer":
        told.hear(_framed(mark, raw))
    else:
        told.hear(raw)
        told.marks.append(raw[:LONGEST_MARK])
    return mark.end


def _think(told: Told, mark: Mark) -> None:
    """Thought begins or ends; an end without a beginning ends what came before."""
    if not mark.is_close:
        told.thinking.append(mark.core)
    elif told.thinking:
        told.thinking.pop()
    else:
        told.thought += told.said
        told.said, told.has_spoken = [], False


def _end(told: Told, rest: str) -> None:
    """A turn ends, unless nothing was said in it yet."""
    if told.thinking:
        told.is_over = not rest.strip()
    elif told.has_spoken and not told.is_others:
        told.is_over = True


def _header(told: Told, mark: Mark, text: str) -> int:
    """A turn begins: another's, or the model's own again."""
    at, name = mark.end, mark.core
    found = ROLE_WORD.match(text, mark.end)
    own = next((ROLES[word] for word in name.split() if word in ROLES), None)
    if own is None and found:
        own, at = ROLES[found[1].lower()], found.end()
    if name == "inst":
        own = "own" if mark.is_close else "other"
    if told.has_spoken and not told.is_others and not told.thinking:
        told.is_over = own is not None or not mark.is_close
    else:
        told.is_others = own == "other" and not mark.is_close
        if own == "other":
            told.thinking.clear()
    return at


def _channel(told: Told, mark: Mark, text: str) -> int:
    """`<|channel>thought … <channel|>`: the word behind it names the channel.

    So do `<unused94>thought … <unused95>`, where nothing but the number differs.
    """
    is_unused = mark.name.startswith("unused")
    if mark.is_close or (is_unused and told.thinking):
        _think(told, replace(mark, is_close=True))
        return mark.end
    found = CHANNEL_NAME.match(text, mark.end)
    word = found[1].lower() if found else ""
    if found and ANSWER.search(word) and not is_unused:
        return found.end()
    is_thought = bool(found and THOUGHT.search(word))
    if is_unused and not is_thought:
        told.hear(text[mark.start : mark.end])
        told.marks.append(text[mark.start : mark.end])
        return mark.end
    told.thinking.append(mark.core)
    return found.end() if found and is_thought else mark.end


def _precedes_an_answer(told: Told, mark: Mark) -> bool:
    """Whether an unknown pair stands before the answer, or is never closed at all."""
    if told.thinking:
        return mark.core == told.thinking[-1]
    if mark.is_close:  # its beginning was the end of the prompt
        is_open = any(mark.name in each.lower() for each in told.marks)
        return not is_open and mark.is_followed
    return mark.precedes and not told.has_spoken


def _framed(mark: Mark, raw: str) -> str:
    """A mark around an answer as the readers of letters and digits know it."""
    if raw.startswith("<") and raw[1] not in "|｜<":
        return raw
    return "}\n" if mark.is_close else "\n\\boxed{"


# --- lines of another -----------------------------------------------------------------


def _own_lines(said: str) -> str:
    """The text up to where the model goes on as somebody else, or with a new question.

    A question counts as new only below an answer: it may be the task said again.
    """
    begun, answered = re.search(r"\S", said), ANSWERED.search(said)
    for found in ANOTHERS_LINE.finditer(said):
        at = found.start()
        if begun is None or begun.start() >= at:
            continue
        is_answered = answered is not None and answered.end() <= at
        asked = said[found.end() : found.end() + POSED_WITHIN]
        if found["asks"] is None or (is_answered and POSED.search(asked)):
            return said[:at]
    return said
