"""Pages that need nothing but themselves: jinja2 templates, and executed notebooks.

A page makes no request, runs no script and says so in its content policy; whatever a
model, a server or a file wrote is escaped by the template that shows it. The code of a
notebook is folded away, not left out.
"""

from __future__ import annotations

import base64
import html
import re
import sys
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from igaku.ask.folder import MANIFEST, replace
from igaku.errors import IgakuError
from igaku.words import (
    LANGUAGES,
    cell,
    checked,
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
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
HEADING = re.compile(r"<h([1-6])((?:\s[^>]*)?)>(.*?)</h\1>", re.S)
ANCHOR = re.compile(r"""\bid=(["'])(.*?)\1""")
TAG = re.compile(r"<[^>]*>")
STYLER = re.compile(r"\bT_([0-9a-f]{6,})")  # the id of a Styler's table
# A line of a progress bar that is full, and says nothing that the page does not.
FULL_BAR = re.compile(r"^[^\n]*\b100%\|[^\n]*\n?", re.M)


def render(outputs_dir: str | Path, lang: str | None = None) -> list[Path]:
    """Pages for every executed notebook under a folder, and an index of its runs.

    Each page is written beside its notebook; the index comes last. `lang` is the
    language of the index, by default that of the analysis.
    """
    from igaku.pages.index import write_index

    folder = Path(outputs_dir).expanduser()
    if not folder.is_dir():
        raise IgakuError(f"There is no folder {folder}: run a notebook first.")
    # A notebook with no run beside it is an example, and none of this folder's.
    runs = [
        p for p in sorted(folder.glob("*/run.ipynb")) if (p.parent / MANIFEST).is_file()
    ]
    shared = sorted(folder.glob("*.ipynb"))
    pages = [render_notebook(path) for path in [*runs, *shared]]
    own = language_of(read_notebook([*shared, *runs][0])) if pages else "en"
    return [*pages, write_index(folder, lang or own)]


def render_notebook(notebook: str | Path, page: str | Path | None = None) -> Path:
    """The page of one executed notebook, beside it unless told; returns its path."""
    source = Path(notebook).expanduser()
    target = Path(page).expanduser() if page else source.with_suffix(".html")
    read = read_notebook(source)
    lang = language_of(read)
    body = _headline(source, lang) + _exported(read, lang, source)
    name = source.parent.name if source.stem == "run" else source.stem
    put(target, framed(f"igaku: {name}", body, lang))
    return target


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
    made = environment(checked(lang)).overlay(finalize=_in_markdown)
    told = made.get_template(template).render(pieces="md.j2", **values)
    return re.sub(r"\n{3,}", "\n\n", told).strip() + "\n"


def _in_markdown(value: Any) -> Any:
    """A value as a template puts it into Markdown, what is made up already as it is."""
    from markupsafe import Markup

    return value if hasattr(value, "__html__") else Markup(marked(value))


def marked(value: object) -> str:
    r"""Any value as one line of Markdown that shows it and never obeys it.

    >>> print(marked("<b>|*x*"))
    &lt;b>\|\*x\*
    """
    text = plain(value).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", " ".join(text.split()))


def put(target: Path, text: str) -> None:
    """Write a page whole, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(target, text.encode())


# --- the frame of every page ----------------------------------------------------------


@cache
def environment(lang: str) -> jinja2.Environment:
    """The templates of a language, which escape all that is put into them."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else plain(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "lang": lang, "policy": POLICY, "formatted": formatted,
        "say": partial(say, lang=lang), "word": partial(word, lang=lang),
    }  # fmt: skip
    made.filters |= {"href": quote, "data": _data}
    return made


def _data(png: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def framed(title: str, body: str, lang: str) -> str:
    """A whole page around HTML that is escaped already, with its table of contents."""
    from markupsafe import Markup

    body, entries = _anchored(body)
    found = environment(lang).get_template("page.html.j2")
    groups = _grouped(entries)
    return found.render(title=title, body=Markup(body), contents=groups)


Entry = tuple[int, str, Any]  # a heading's level, its anchor and its words


def _anchored(body: str) -> tuple[str, list[Entry]]:
    """HTML whose headings each have an anchor of their own, and the list of them."""
    from markupsafe import Markup

    entries: list[Entry] = []
    taken: set[str] = set()

    def anchored(found: re.Match[str]) -> str:
        level, about, inside = found.groups()
        given = ANCHOR.search(about)
        anchor = _unique(anchor_of(html.unescape(given[2]) if given else inside), taken)
        entries.append((int(level), quote(anchor), Markup(TAG.sub("", inside))))
        rest = ANCHOR.sub("", about)
        return f'<h{level} id="{html.escape(anchor)}"{rest}>{inside}</h{level}>'

    return HEADING.sub(anchored, body), entries


def anchor_of(inside: str) -> str:
    """The anchor of a heading, as JupyterLab makes it: its words joined by hyphens.

    >>> anchor_of("What was <em>found</em>?")
    'What-was-found?'
    """
    return "-".join(html.unescape(TAG.sub("", inside)).split())


def _unique(anchor: str, taken: set[str]) -> str:
    """An anchor that no earlier heading has, which is taken from now on."""
    found, n = anchor, 1
    while found in taken:
        n += 1
        found = f"{anchor}-{n}"
    taken.add(found)
    return found


def _grouped(entries: list[Entry]) -> list[list[Entry]]:
    """Headings for the contents, those of the third level below the second's.

    Empty where there is nothing to choose from.
    """
    groups: list[list[Entry]] = []
    listed = [entry for entry in entries if entry[0] in (2, 3)]
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


def tabled(frame: pd.DataFrame, lang: str) -> Table:
    """A frame in a language, for the tables of a template; links stay links."""
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


# --- one notebook ---------------------------------------------------------------------


def read_notebook(notebook: Path) -> NotebookNode:
    """An executed notebook, or a sentence that says what is wrong with it."""
    # jsonschema makes dozens of grammars for addresses, which no notebook has: 1.5 s.
    unused = sys.modules.setdefault("rfc3987_syntax", cast(ModuleType, None))
    import nbformat

    if unused is None:
        del sys.modules["rfc3987_syntax"]
    try:
        found: NotebookNode = nbformat.read(notebook, as_version=4)
        return found
    except FileNotFoundError:
        raise IgakuError(
            f"There is no notebook {notebook}: execute it first, with papermill."
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError) as broken:
        raise _damaged(notebook) from broken


def language_of(notebook: NotebookNode) -> str:
    """A notebook's own language: what papermill was told, or its parameters say."""
    about = notebook.metadata.get("papermill", {}).get("parameters", {})
    sources = [
        cell.source
        for cell in notebook.cells
        if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))
    ]
    given = re.findall(r"^lang = [\"'](\w+)[\"']", "\n".join(sources), re.M)
    found = about.get("lang") or (given[-1] if given else "en")
    return str(found) if found in LANGUAGES else "en"


def _exported(notebook: NotebookNode, lang: str, source: Path) -> str:
    """A notebook's cells as HTML; the template gives every figure its text."""
    from nbconvert import HTMLExporter, TemplateExporter
    from nbconvert.filters import Highlight2HTML
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    template = (TEMPLATES / "notebook.html.j2").read_text("utf-8")
    exporter = HTMLExporter(raw_template=template, exclude_anchor_links=True)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    coloured = Highlight2HTML(pygments_lexer="ipython3")
    exporter.register_filter("highlight_code", coloured)
    exporter.register_filter("without_bars", lambda text: FULL_BAR.sub("", text))
    tables = count(1)  # two frames of the same columns have the same id
    exporter.register_filter(
        "numbered", lambda told: STYLER.sub(rf"T_\1n{next(tables)}", told)
    )
    words = {
        f"igaku_{name}": say(f"page_{name}", lang)
        for name in ("code", "figure", "more")
    }
    try:
        # Not the HTMLExporter's own, which parses the whole page for missing texts.
        body, _ = TemplateExporter.from_notebook_node(exporter, notebook, words)
    except (ValueError, KeyError, AttributeError) as broken:
        raise _damaged(source) from broken
    return str(body)


def _headline(notebook: Path, lang: str) -> str:
    """What a run came to, above its notebook; empty for a notebook of another kind."""
    from igaku.pages.index import score_rows
    from igaku.study.families import study_of
    from igaku.study.runs import load_run

    folder = notebook.parent
    if notebook.stem != "run" or not (folder / MANIFEST).is_file():
        return ""
    (row,) = score_rows(study_of([load_run(folder)], lang=lang))
    return str(environment(lang).get_template("headline.html.j2").render(row=row))


def _damaged(notebook: Path) -> IgakuError:
    return IgakuError(f"{notebook} is not a whole notebook: execute it again.")
