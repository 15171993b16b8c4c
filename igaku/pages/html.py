"""Pages that need nothing but themselves, from jinja2 templates.

A page makes no request, runs no script and says so in its content policy; whatever a
model, a server or a file wrote is escaped by the template that shows it.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from igaku.words import (
    cell,
    checked,
    compiled,
    formatted,
    heading,
    holds_words,
    plain,
    say,
    word,
)

if TYPE_CHECKING:
    import jinja2
    import pandas as pd
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
REPLIES = "replies.html"  # the page of all replies, to which others lead
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
HEADING = re.compile(r"<h([1-6])((?:\s[^>]*)?)>(.*?)</h\1>", re.S)
ANCHOR = re.compile(r"""\bid=(["'])(.*?)\1""")
TAG = re.compile(r"<[^>]*>")


def page(template: str, lang: str = "en", title: str = "igaku", **values: Any) -> str:
    """A whole page from a template in `templates/`, in one of the two languages.

    A template's `{{ … }}` are escaped; `say`, `word` and `formatted` are in its
    language.
    """
    made = environment(checked(lang))
    told = made.get_template(template).render(pieces="html.j2", **values)
    return framed(title, told, lang)


def markdown(template: str, lang: str = "en", **values: Any) -> str:
    """The same template as Markdown, in which every value is text, too."""
    made = environment(checked(lang), marked)
    told = made.get_template(template).render(pieces="md.j2", **values)
    return re.sub(r"\n{3,}", "\n\n", told).strip() + "\n"


def marked(value: object) -> Markup:
    r"""Any value as one line of Markdown that shows it and never obeys it.

    >>> print(marked("<b>|*x*"))
    &lt;b>\|\*x\*
    """
    from markupsafe import Markup

    text = plain(value).replace("&", "&amp;").replace("<", "&lt;")
    return Markup(re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", " ".join(text.split())))


# --- the frame of every page ----------------------------------------------------------


@cache
def environment(lang: str, text: Callable[[object], str] = plain) -> jinja2.Environment:
    """The templates of a language, which escape all that is put into them.

    `text` makes text of a value that is no markup.
    """
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        bytecode_cache=compiled(lang),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else text(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "lang": lang, "policy": POLICY, "formatted": formatted,
        "say": partial(say, lang=lang), "word": partial(word, lang=lang),
    }  # fmt: skip
    data = "data:image/png;base64,"
    made.filters |= {"href": quote, "data": lambda p: data + b64encode(p).decode()}
    return made


Entry = tuple[int, str, Any]  # a heading's level, its anchor and its words


def framed(title: str, body: str, lang: str) -> str:
    """A whole page around HTML that is escaped already, with its table of contents."""
    from markupsafe import Markup

    entries: list[Entry] = []
    taken: set[str] = set()

    def anchored(found: re.Match[str]) -> str:
        """A heading with an anchor that no earlier one has."""
        level, about, inside = found.groups()
        given = ANCHOR.search(about)
        own = anchor_of(html.unescape(given[2]) if given else inside)
        free = chain([own], (f"{own}-{n}" for n in count(2)))
        anchor = next(each for each in free if each not in taken)
        taken.add(anchor)
        entries.append((int(level), quote(anchor), Markup(TAG.sub("", inside))))
        rest = ANCHOR.sub("", about)
        return f'<h{level} id="{html.escape(anchor)}"{rest}>{inside}</h{level}>'

    told = Markup(HEADING.sub(anchored, body))
    contents = _grouped([entry for entry in entries if entry[0] in (2, 3)])
    frame = environment(lang).get_template("page.html.j2")
    return frame.render(title=title, body=told, contents=contents)


def anchor_of(inside: str) -> str:
    """The anchor of a heading, as JupyterLab makes it: its words joined by hyphens.

    >>> anchor_of("What was <em>found</em>?")
    'What-was-found?'
    """
    return "-".join(html.unescape(TAG.sub("", inside)).split())


def _grouped(listed: list[Entry]) -> list[list[Entry]]:
    """Headings for the contents, those of the third level below the second's.

    Empty where there is nothing to choose from.
    """
    groups: list[list[Entry]] = []
    for entry in listed:
        if entry[0] == 2 or not groups:
            groups.append([])
        groups[-1].append(entry)
    return groups if len(listed) > 1 else []


@dataclass(frozen=True)
class Table:
    """A frame as text: its head, its rows, and the places of its columns of words."""

    head: list[str]
    rows: list[list[Any]]
    words: frozenset[int]


def tabled(frame: pd.DataFrame, lang: str) -> Table | None:
    """A frame in a language, for the tables of a template; links stay links.

    None for a frame without rows.
    """
    if frame.empty:
        return None
    columns = list(frame.columns)
    rows = [
        [
            value if hasattr(value, "__html__") else cell(value, name, columns, lang)
            for name, value in zip(columns, row, strict=True)
        ]
        for row in frame.itertuples(index=False)
    ]
    words = [i for i in range(len(columns)) if holds_words(frame.iloc[:, i])]
    return Table([heading(name, lang) for name in columns], rows, frozenset(words))
