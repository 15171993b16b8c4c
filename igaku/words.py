"""The record's vocabulary, and the two languages it is shown in.

Frames carry the machine's words (`outcome`, `only_reference`, `BROKEN`); `printed` puts
a reader's words in their place at the rim, and `say` fills in a sentence. Both read
`text/`: `words.*.yaml` hold headings, values and units in both languages,
`*.<lang>.yaml` the sentences. Nothing else in the package knows a language.
"""

from __future__ import annotations

import hashlib
import html
import math
import re
import unicodedata
from contextlib import suppress
from functools import cache, partial
from numbers import Integral, Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku.errors import IgakuError
from igaku.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from pandas.io.formats.style import Styler

LANGUAGES = ("en", "ja")
TEXT = Path(__file__).parent / "text"

# --- what the record calls things -----------------------------------------------------

OUTCOMES = (
    "answered", "wrong_cardinality", "unparsable", "refused", "truncated", "empty",
    "api_error", "wrong_model", "not_run",
)  # fmt: skip
# The outcomes that are lost, and the cause each of them speaks for.
CAUSES = {"truncated": "budget", "api_error": "api", "empty": "output"}
# The causes of a loss, as the row or, where it does not say, the outcome speaks for it.
LOSSES = ("budget", "window", "looping", "output", "tool", "api")
NO_REPLY = ("api_error", "wrong_model", "not_run")
# What a comparison of two runs must hold fixed, as a run's settings name it.
HELD_FIXED = (
    "max_tokens", "reasoning_effort", "shots", "prompt", "language", "serial_context",
    "choice_order", "temperature", "top_p", "seed", "extra_body",
)  # fmt: skip
LEVEL = 0.05  # two-sided, of a difference; the intervals are its 95 %
ONE_SIDED = 0.025  # of "not worse by the margin": the same limit of the same interval
PASS_MARK = 0.75
MARKS = {"unverified": "†", "wrong_model": "‡"}  # behind a run's label
MISSING = "–"
LONG = 40  # characters of a text from which on it is broken into lines
WRAPPED = "min-width: 12em; max-width: 40em"
HEAD = 5  # letters of a line in a Japanese heading, which could be broken at each
# JupyterLab breaks what is printed beside a table in the middle of words.
BESIDE = ".jp-OutputArea .jp-OutputArea-output pre { word-break: normal; }"

# --- text that shows and never obeys --------------------------------------------------

# Control characters become their visible pictures; a lone surrogate a question mark.
VISIBLE: dict[int, int | str] = {
    code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"
}
VISIBLE |= {0x7F: 0x2421} | {
    code: f"<U+{code:04X}>"  # overrides of the reading direction hide what was written
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
}


def plain(value: object) -> str:
    """Any value as text without characters that steer a terminal or hide others."""
    text = str(value).encode("utf-8", "replace").decode().replace("\r\n", "\n")
    return text.translate(VISIBLE)


def is_missing(value: object) -> bool:
    """Whether a value is unknown: None, pandas' NA, NaT or a nan."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def labelled(label: str, identity: str) -> str:
    r"""A run's label with the mark of what is known of its weights, if it needs one.

    >>> labelled("openai @8bit", "unverified")
    'openai @8bit\xa0†'
    """
    return f"{label}\u00a0{MARKS[identity]}" if identity in MARKS else label


# --- frames ---------------------------------------------------------------------------


def printed(
    frame: pd.DataFrame, lang: str = "en", none: str = "frame_of_nothing"
) -> Styler:
    """A frame as readers of a language see it; the frame itself stays as it is.

    Headings, outcomes and other words of the record are those of `text/`, numbers are
    in their column's unit there (a fraction as percent, a difference in points, a
    p-value to three places), texts escaped; no rows are the sentence named `none`.
    """
    checked(lang)
    from pandas.io.formats.style import Styler

    class Printed(Styler):
        def __repr__(self) -> str:
            """What a log shows of it (papermill --log-output)."""
            return "<printed: {} rows, {} columns>".format(*frame.shape)

        def _repr_html_(self) -> str:
            """HTML of few lines: of a notebook's file every line is a text apart."""
            head, end, table = self.to_html().partition("</style>")
            return " ".join([*head.split(), BESIDE, end, re.sub(r">\s+<", "><", table)])

    index, columns = frame.index, frame.columns
    shown = frame.set_axis(index.set_names(_escaped_names(index, lang)))
    shown = shown.set_axis(columns.set_names(_escaped_names(columns, lang)), axis=1)
    uuid = hashlib.sha256(repr(list(columns)).encode()).hexdigest()[:8]
    style = Printed(shown, uuid=uuid, cell_ids=False)
    # Styler escapes neither what a formatter gives nor names: so it is done here.
    told = partial(_escaped, columns=columns, lang=lang)
    style.format({name: partial(told, name=name) for name in columns})
    style.format_index(partial(_head, kind=columns.name, lang=lang), axis=1)
    for level, kind in enumerate(index.names):
        style.format_index(partial(told, name=kind), axis=0, level=level)
    if index.name is None and index.dtype.kind in "iu":
        style.hide(axis="index")
    if frame.empty:
        style.set_caption(html.escape(say(none, lang)))
    style.set_table_styles(list(_rules(frame, lang)))
    # JupyterLab typesets TeX in HTML outputs, except below these classes.
    return style.set_table_attributes('class="igaku tex2jax_ignore mathjax_ignore"')


def _rules(frame: pd.DataFrame, lang: str) -> Iterator[Any]:
    """Words to the left; all but long texts in one line."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    left = [f".col{i}" for i, column in enumerate(columns) if holds_words(column)]
    if frame.empty:  # its headings can be wider than the window
        left.append("caption")
        yield {"selector": "caption", "props": "max-width: 85vw"}
    long = [f".col{i}" for i, column in enumerate(columns) if _is_long(column)]
    # Styler cuts a selector at its commas, so that none may stand in brackets.
    others = "td" + "".join(f":not({place})" for place in long)
    looks = {"text-align: left": left, WRAPPED: long, "white-space: nowrap": [others]}
    looks |= _widths(frame.columns, lang)
    for look, places in looks.items():
        if places:
            yield {"selector": ",".join(places), "props": look}


def _widths(columns: pd.Index, lang: str) -> dict[str, list[str]]:
    """How narrow a Japanese heading may be, and the places of those that may."""
    found: dict[str, list[str]] = {}
    for i, name in enumerate(columns):
        told = _head(name, columns.name, lang)
        if wide := breadth(told) - len(told):
            width = f"min-width: {min(wide, HEAD)}em"
            found.setdefault(width, []).append(f".col_heading.col{i}")
    return found


def _is_long(column: pd.Series) -> bool:
    """Whether a column holds a text that no line has room for."""
    words = (value for value in column if isinstance(value, str | tuple | list))
    texts = map(formatted, words)
    return any(len(text) > LONG or "\n" in text for text in texts)


def holds_words(column: pd.Series) -> bool:
    """Whether a column is of words, which stand to the left, numbers to the right."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_numeric_dtype(column):
        return is_bool_dtype(column)
    told = (str(value) for value in column if not is_missing(value))
    return not all(map(_NUMBERS.fullmatch, told))


def cell(value: object, name: object, columns: Any, lang: str) -> str:
    """A value of the column `name` in a language: its word, or a number in its unit."""
    return formatted(_told(name, value, lang), unit_of(name, columns))


def _told(kind: object, value: Any, lang: str) -> Any:
    """The word of a value; a value that has none, and a count, as they are."""
    words = _words()["values"].get(kind)
    is_count = isinstance(value, Number) and not isinstance(value, bool)
    if not words or is_count or is_missing(value):  # 1 is not the word of True
        return value
    return _of(words.get(value, value), lang)


def _escaped(value: object, name: object, columns: Any, lang: str) -> str:
    return html.escape(cell(value, name, columns, lang))


def _escaped_names(axis: pd.Index, lang: str) -> list[str | None]:
    named = (None if name is None else heading(name, lang) for name in axis.names)
    return [name and html.escape(plain(name)) for name in named]


def _head(name: object, kind: object, lang: str) -> str:
    """A column's heading, or the word of the value that it is of."""
    told = heading(name, lang) if kind is None else cell(name, kind, (), lang)
    return html.escape(plain(told))


def unit_of(name: Any, columns: Any) -> str | None:
    """The unit of a column; the limits of an interval have that of their estimate."""
    if name in ("low", "high"):
        units = {"difference": "points", "median": "whole"}
        return next((units[each] for each in units if each in columns), "share")
    kind = _words()["formats"].get(name)
    return None if kind is None else str(kind)


def heading(name: object, lang: str) -> str:
    """A column's heading in a language; its own name where `text/` has none."""
    told = _words()["columns"].get(name)
    return str(name) if told is None else str(_of(told, lang))


def word(kind: str, value: object, lang: str) -> str:
    """A word of the record in a language: `word("outcome", "empty", "en")`."""
    return str(_told(kind, value, lang))


def formatted(value: Any, kind: str | None = None) -> str:
    """A cell as text: a share, points, a p-value, a whole number, or as it is.

    >>> formatted(0.715, "share"), formatted(-0.005, "points"), formatted(0.7948, "p")
    ('71.5%', '−0.5', '0.795')
    """
    if isinstance(value, tuple | list):
        return ", ".join(map(plain, value)) or MISSING
    if is_missing(value):
        return MISSING
    if isinstance(value, bool | str) or kind is None:
        return plain(value)
    if kind == "share" and isinstance(value, Integral):
        kind = "whole"  # a count in a column that elsewhere is a share of them
    return _number(value, kind)


def _number(value: Any, kind: str) -> str:
    """A number of a kind, with a minus in place of a hyphen and none before zero."""
    told = _FORMATS[kind](value)
    return told.replace("-", "−") if re.search("[1-9]", told) else told.strip("+-")


def p_of(pvalue: float) -> str:
    """A p-value as it stands in a sentence.

    >>> p_of(0.79484), p_of(0.0002)
    ('p = 0.795', 'p < 0.001')
    """
    return "p < 0.001" if pvalue < 0.001 else f"p = {pvalue:.3f}"


_NUMBERS = re.compile(r"[\d\s.,:%/()<>=≤≥~+−–…-]+")  # "286/400", "60+", "−4.3 … +3.3"
_FORMATS = {
    "share": lambda value: f"{value:.1%}",
    "points": lambda value: f"{100 * value:+.1f}",
    "p": lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
    "whole": lambda value: f"{value:,.0f}",
    "about": lambda value: f"{float(f'{value:.3g}'):,.0f}",
    "one": lambda value: f"{value:,.1f}",
    "brief": lambda value: f"{value:,.1f}".removesuffix(".0"),
    "size": lambda value: f"{abs(100 * value):.1f}",
    "gigabytes": lambda value: f"{value:,.2f}" if value >= 0.1 else f"{value:.1g}",
    "two": lambda value: f"{value:,.2f}",
}

# --- sentences ------------------------------------------------------------------------


def say(block: str, lang: str = "en", **numbers: Any) -> str:
    """The sentence of that name in a language, its numbers filled in.

    Text only: whoever puts it into a page escapes it there.
    """
    sentences = _sentences(checked(lang))
    told = sentences.globals["blocks"].get(block)
    if told is None:
        raise KeyError(f"no sentence {block!r} in text/*.{lang}.yaml")
    if "{" in told:
        told = sentences.get_template(block).render(**numbers)
    return " ".join(told.split())


def checked(lang: str) -> str:
    """The language, if it is one of the two."""
    if lang not in LANGUAGES:
        raise IgakuError(f"lang is {lang!r}: give 'ja' or 'en'.")
    return lang


@cache
def _words() -> dict[str, Any]:
    found: dict[str, Any] = {"columns": {}, "values": {}, "formats": {}}
    for path in sorted(TEXT.glob("words.*.yaml")):
        read = _read(path)
        found["columns"] |= read.get("columns", {})
        found["formats"] |= read.get("formats", {})
        for name, told in read.get("values", {}).items():
            found["values"].setdefault(name, {}).update(told)
    return found


def compiled(lang: str) -> Any:
    """Where a language's templates stay compiled between processes; None if nowhere."""
    import jinja2

    folder = cache_dir() / "templates" / lang
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None

    class Kept(jinja2.FileSystemBytecodeCache):
        """On a full disk a page is compiled anew each time."""

        def dump_bytecode(self, bucket: Any) -> None:
            with suppress(OSError):
                super().dump_bytecode(bucket)

    return Kept(str(folder))


def aligned(frame: pd.DataFrame) -> str:
    """A frame as lines for a terminal, missing values left out.

    >>> print(aligned(pd.DataFrame({"名前": ["a", "試験"], "n": [10, None]})))
    名前     n
    a     10.0
    試験
    """
    columns = []
    for name, column in frame.items():
        told = ["" if is_missing(value) else plain(value) for value in column]
        cells = [str(name), *told]
        width = max(map(breadth, cells))
        gaps = [" " * (width - breadth(text)) for text in cells]
        pairs = zip(cells, gaps, strict=True)
        is_left = holds_words(column)
        columns.append([t + gap if is_left else gap + t for t, gap in pairs])
    lines = zip(*columns, strict=True)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def breadth(text: str) -> int:
    """The columns that a text takes in print: a Japanese letter takes two.

    >>> breadth("8bit"), breadth("正答")
    (4, 4)
    """
    return sum(1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


@cache
def _sentences(lang: str) -> Any:
    import jinja2

    blocks: dict[str, str] = {}
    for path in sorted(TEXT.glob(f"*.{lang}.yaml")):
        blocks |= _read(path)
    made = jinja2.Environment(
        loader=jinja2.DictLoader(blocks),
        bytecode_cache=compiled(lang),
        cache_size=-1,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: plain(value) if isinstance(value, str) else value,
    )
    made.globals["blocks"] = blocks
    made.globals |= {"LEVEL": LEVEL, "ONE_SIDED": ONE_SIDED, "PASS_MARK": PASS_MARK}
    made.tests["missing"] = is_missing
    kinds = {"share": "share", "points": "points", "n": "whole", "about": "about"}
    made.filters |= {name: partial(_number, kind=kinds[name]) for name in kinds}
    made.filters |= {"p": p_of, "size": _FORMATS["size"]}
    made.filters["word"] = lambda value, kind: word(kind, value, lang)
    return made


def _read(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text("utf-8"), loader) or {}


def _of(told: Any, lang: str) -> Any:
    return told[checked(lang)] if isinstance(told, dict) else told
