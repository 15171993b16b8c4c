"""Pieces of a notebook page: sentences, tables, pre-formatted text and pictures.

All text is escaped here and nowhere else. What a model wrote is hostile until shown
otherwise: it reaches a page only through `escaped`, inside elements that neither
Markdown nor MathJax touches.
"""

from __future__ import annotations

import base64
import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from igaku.errors import IgakuError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LANGUAGES = ("ja", "en")
MISSING = "–"
LONG = 40  # columns of a cell above which its line is broken
# Behind a run's label: what is known of the weights that answered in it.
MARKS = {
    "unverified": (
        "†",
        "どの重みが答えたかを、サーバー自身の情報で確認できていません。",
        "No word of the server's own confirms which weights answered.",
    ),
    "wrong_model": (
        "‡",
        "指定した重みではないものが答えました。",
        "Weights other than the requested ones answered.",
    ),
}
# JupyterLab typesets TeX in HTML outputs, except below elements with these classes.
NO_MATH = "tex2jax_ignore mathjax_ignore"
# Control characters become their visible pictures; a lone surrogate a question mark.
VISIBLE: dict[int, int | str] = {
    code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"
}
VISIBLE |= {0x7F: 0x2421} | {
    code: f"<U+{code:04X}>"  # overrides of the reading direction hide what was written
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
}


@dataclass(frozen=True)
class Shown:
    """A piece of a page: HTML for a browser, plain text for a terminal, Markdown."""

    html: str
    text: str
    markdown: str = ""

    def __add__(self, other: Shown) -> Shown:
        blocks = filter(None, (self.markdown, other.markdown))
        return Shown(
            self.html + other.html,
            "\n".join((self.text, other.text)),
            "\n\n".join(blocks),
        )

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<div class="igaku {NO_MATH}">{self.html}</div>'


@dataclass(frozen=True)
class Picture:
    """A figure as PNG, with the text that stands in for it."""

    png: bytes = field(repr=False)
    alt: str
    width: int

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        data = base64.b64encode(self.png).decode()
        about = {"alt": self.alt, "width": self.width}
        return {"image/png": data, "text/plain": self.alt}, {"image/png": about}


def say(lang: str, ja: str, en: str) -> str:
    """The one of two wordings that is in the reader's language."""
    if lang not in LANGUAGES:
        raise IgakuError(f"lang is {lang!r}: give 'ja' or 'en'.")
    return ja if lang == "ja" else en


def kind_of_number(origin: str, lang: str) -> str:
    """The word that keeps the four kinds of number apart: measured here, and so on."""
    ja = {"measured": "測定", "recorded": "記録", "published": "公表"}
    return say(lang, ja.get(origin, origin), origin)


def escaped(value: object) -> str:
    """Any value as text that HTML shows and never obeys.

    >>> escaped("<script>")
    '&lt;script&gt;'
    """
    return html.escape(plain(value))


def plain(value: object) -> str:
    """Any value as text without characters that steer a terminal or hide others."""
    text = str(value).encode("utf-8", "replace").decode().replace("\r\n", "\n")
    return text.translate(VISIBLE)


def marked(value: object) -> str:
    r"""Any value as one line of Markdown that shows it and never obeys it.

    >>> print(marked("<b>|*x*"))
    &lt;b>\|\*x\*
    """
    text = plain(value).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", " ".join(text.split()))


def labelled(label: str, identity: str) -> str:
    """A run's label with the mark of what is known of its weights, if it needs one.

    >>> labelled("openai @8bit", "unverified")
    'openai @8bit †'
    """
    return f"{label} {MARKS[identity][0]}" if identity in MARKS else label


def mark_words(texts: Iterable[object], lang: str = "") -> str:
    """What the marks in these texts mean, in one line; empty where there is none.

    Without a language it is said in both, so that no table can leave it out.
    """
    whole = "\n".join(map(str, texts))
    met = [words for words in MARKS.values() if f" {words[0]}" in whole]
    told = [
        f"{sign} {say(lang, ja, en) if lang else f'{ja} {en}'}" for sign, ja, en in met
    ]
    return " ".join(told)


def nothing() -> Shown:
    """An empty piece, to add others to."""
    return Shown("", "")


def joined(pieces: Iterable[Shown]) -> Shown:
    """Pieces one below the other."""
    return sum(pieces, nothing())


def sentence(text: str, kind: str = "") -> Shown:
    """A paragraph; kind "alarm" marks what a reader must not miss."""
    mark = "⚠ " if kind == "alarm" else ""
    attribute = f' class="{kind}"' if kind else ""
    shown = f"**{mark}{marked(text)}**" if mark else marked(text)
    return Shown(f"<p{attribute}>{mark}{escaped(text)}</p>", plain(mark + text), shown)


def heading(text: str, level: int = 3) -> Shown:
    """A heading inside a page."""
    markup = f"<h{level}>{escaped(text)}</h{level}>"
    return Shown(markup, f"\n{plain(text)}\n", f"{'#' * level} {marked(text)}")


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    caption: str = "",
    left: Sequence[int] = (0,),
    lang: str = "",
) -> Shown:
    """A table whose first column names the rows, wide ones scrolling inside themselves.

    Columns with an index in `left` hold words; the others hold figures. Below it stands
    what the marks of the runs' labels mean, in the page's language `lang`.
    """
    cells = [
        [MISSING if is_missing(cell) else str(cell) for cell in row] for row in rows
    ]
    words = set(left)
    top = "".join(_cell("th", name, i in words) for i, name in enumerate(head))
    body = "".join(f"<tr>{_row(row, words)}</tr>" for row in cells)
    title = f"<caption>{escaped(caption)}</caption>" if caption else ""
    markup = (
        f'<div class="scroll" tabindex="0" style="overflow-x:auto"><table>{title}'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    lines = [" | ".join(line) for line in [list(head), *cells]]
    text = plain("\n".join(([caption] if caption else []) + lines))
    drawn = Shown(markup, text, _pipes(head, cells, caption, words))
    note = mark_words([*head, *(cell for row in cells for cell in row)], lang)
    return drawn + sentence(note, "note") if note else drawn


def written(text: object) -> Shown:
    """Text exactly as it was written, line by line."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere;max-height:30em;overflow:auto"
    markup = f'<pre class="{NO_MATH}" style="{style}">{escaped(text)}</pre>'
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", str(text))), default=0))
    return Shown(markup, plain(text), f"{fence}text\n{plain(text)}\n{fence}")


def folded(title: str, inside: Shown) -> Shown:
    """A piece behind a click on its title."""
    markup = f"<details><summary>{escaped(title)}</summary>{inside.html}</details>"
    block = f"*{marked(title)}*\n\n{inside.markdown}"
    return Shown(markup, f"{plain(title)}\n{inside.text}", block)


def picture(figure: Figure, alt: str, dpi: int = 200) -> Picture:
    """A matplotlib figure as a picture, at twice the resolution it is shown at."""
    import io

    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    return Picture(png.getvalue(), alt, round(figure.get_figwidth() * dpi / 2))


def as_image(drawn: Picture) -> str:
    """A picture as HTML that carries it inside itself."""
    data = base64.b64encode(drawn.png).decode()
    source = f"data:image/png;base64,{data}"
    return (
        f'<div class="output_png"><img src="{source}" width="{drawn.width}" '
        f'alt="{escaped(drawn.alt)}"></div>'
    )


def is_missing(value: object) -> bool:
    """Whether a value is unknown: None, pandas' NA, NaT or a nan."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def figure_of(value: Any, digits: int = 0, unit: str = "") -> str | None:
    """A number for a table cell, or None where it is unknown."""
    if is_missing(value) or isinstance(value, str):
        return None if is_missing(value) else str(value)
    return f"{value:,.{digits}f}{unit}"


def share(value: Any, digits: int = 1) -> str | None:
    """A fraction as a percentage, or None where it is unknown."""
    return None if is_missing(value) else f"{value:.{digits}%}"


def _pipes(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, words: set[int]
) -> str:
    """A table as Markdown draws it, columns of figures to the right."""
    rule = [":--" if i in words else "--:" for i in range(len(head))]
    body = [[marked(cell) for cell in line] for line in rows]
    lines = [[marked(name) for name in head], rule, *body]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{marked(caption)}**\n\n{drawn}" if caption else drawn


def p_of(pvalue: float) -> str:
    """A p-value as it stands in a sentence."""
    return "p < 0.001" if pvalue < 0.001 else f"p = {pvalue:.3f}"


def p_cell(pvalue: float | None) -> str | None:
    """A p-value as it stands in a table, or None where there is none."""
    if pvalue is None or is_missing(pvalue):
        return None
    return "< 0.001" if pvalue < 0.001 else f"{pvalue:.3f}"


def columns(text: str) -> int:
    """How many columns a text takes: wide characters take two.

    >>> columns("a医")
    3
    """
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _row(cells: Sequence[str], words: set[int]) -> str:
    first = f'<th scope="row" style="text-align:left">{escaped(cells[0])}</th>'
    rest = (_cell("td", cell, i in words) for i, cell in enumerate(cells[1:], 1))
    return first + "".join(rest)


def _cell(tag: str, text: str, is_words: bool) -> str:
    side = "left" if is_words else "right"
    long = ' class="long"' if columns(text) > LONG else ""
    return f'<{tag}{long} style="text-align:{side}">{escaped(text)}</{tag}>'
