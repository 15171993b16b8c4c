"""Pages of executed notebooks, and of all that a folder holds.

The code of a notebook is folded away, not left out; what a cell has written is escaped
like everything else.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from igaku.ask.folder import ANSWERS, MANIFEST, unfit
from igaku.errors import IgakuError
from igaku.pages.html import REPLIES, TEMPLATES, environment, framed
from igaku.words import LANGUAGES, compiled, plain, say
from igaku.writing import put

if TYPE_CHECKING:
    from nbformat import NotebookNode

# A cell that holds the number of a question and nothing else.
NUMBERED = re.compile(r"(<t[hd]\b[^>]*>)(\d+[A-F]\d+)(?=</t[hd]>)")
# Where a question stands on the page of all replies.
ANCHORED = re.compile(r'<(?:article class="question"|a) id="([^"]+)"')
STYLER = re.compile(r"\bT_([0-9a-f]{6,})")  # the id of a Styler's table
FOLDS = ("settings", "card", "versions")  # what a cell's tag `fold-…` may name
LONGEST = 300  # characters of an error that are told
# A line of a progress bar that is full, and says nothing that the page does not.
FULL_BAR = re.compile(r"^[^\n]*\b100%\|[^\n]*\n?", re.M)


def render(outputs_dir: str | Path, lang: str | None = None) -> list[Path]:
    """Pages for every executed notebook under a folder, and an index of its runs.

    Each page is written beside its notebook; the page of all replies, to which they
    lead, comes first and the index last. `lang` is the language of these two, by
    default that of the analysis. A notebook that ended in an error is named in a
    warning.
    """
    from igaku.pages.index import index_of
    from igaku.pages.replies import write_replies
    from igaku.study.families import open_study

    folder = Path(outputs_dir).expanduser()
    if not folder.is_dir():
        raise IgakuError(f"There is no folder {folder}: run a notebook first.")
    notebooks = _executed(folder)
    for why in filter(None, map(unfit, notebooks)):
        warnings.warn(f"{why} It has no page.", stacklevel=2)
    notebooks = [path for path in notebooks if not unfit(path)]
    for path, why in failed(folder).items():
        told = f"{plain(path.relative_to(folder))} ended in an error: {why}"
        warnings.warn(told, stacklevel=2)
    study = open_study(folder, lang=lang or _language(notebooks))
    replies = write_replies(study)
    pages = [render_notebook(path) for path in notebooks]
    return [*pages, *replies, index_of(study, folder)]


def renew_replies(folder: Path) -> None:
    """Write the page of all replies where a run has gone on since it was written."""
    from igaku.pages.replies import write_replies
    from igaku.study.families import open_study

    page, answers = folder / REPLIES, list(folder.glob(f"*/{ANSWERS}"))
    made = page.stat().st_mtime if page.is_file() else 0.0
    if any(path.stat().st_mtime > made for path in answers):
        fit = [path for path in _executed(folder) if not unfit(path)]
        write_replies(open_study(folder, lang=_language(fit)))


def _executed(folder: Path) -> list[Path]:
    """The notebooks of a folder's runs, then those over all of its runs."""
    # A notebook with no run beside it is an example, and none of this folder's.
    runs = sorted(folder.glob("*/run.ipynb"))
    of_runs = [path for path in runs if (path.parent / MANIFEST).is_file()]
    return [*of_runs, *sorted(folder.glob("*.ipynb"))]


def _language(notebooks: Sequence[Path]) -> str:
    """That of the first notebook over all runs, else of the first run's."""
    told = sorted(notebooks, key=lambda path: path.name == "run.ipynb")
    return language_of(read_notebook(told[0])) if told else "en"


def failed(folder: Path) -> dict[Path, str]:
    """The executed notebooks of a folder that ended in an error → what it says."""
    found = {}
    for path in [*sorted(folder.glob("*/run.ipynb")), *sorted(folder.glob("*.ipynb"))]:
        if unfit(path):
            continue
        try:
            cells = json.loads(path.read_bytes())["cells"]
            outputs = [each for cell in cells for each in cell.get("outputs", [])]
            told = [each for each in outputs if each["output_type"] == "error"]
            words = [each.get("evalue") or each["ename"] for each in told]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # it is no notebook: where it belongs to a run, that is refused
        if words:
            found[path] = " ".join(plain(words[-1]).split())[:LONGEST]
    return found


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


def read_notebook(notebook: Path) -> NotebookNode:
    """An executed notebook, or a sentence that says what is wrong with it."""
    # jsonschema makes dozens of grammars for addresses, which no notebook has: 1.5 s.
    modules: dict[str, ModuleType | None] = cast(Any, sys.modules)
    unused = modules.setdefault("rfc3987_syntax", None)
    import nbformat

    if unused is None:
        del modules["rfc3987_syntax"]
    try:
        found: NotebookNode = nbformat.read(notebook, as_version=4)
        return found
    except FileNotFoundError:
        raise IgakuError(
            f"There is no notebook {notebook}: execute it first, with `igaku run`."
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
    given = re.findall(r"^lang(?:: str)? = [\"'](\w+)[\"']", "\n".join(sources), re.M)
    found = about.get("lang") or (given[-1] if given else "en")
    return str(found) if found in LANGUAGES else "en"


def _exported(notebook: NotebookNode, lang: str, source: Path) -> str:
    """A notebook's cells as HTML; the template gives every figure its text."""
    from nbconvert import HTMLExporter, TemplateExporter
    from nbconvert.filters import Highlight2HTML
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    template = (TEMPLATES / "notebook.html.j2").read_text("utf-8")
    exporter = HTMLExporter(raw_template=template, exclude_anchor_links=True)
    exporter.environment.bytecode_cache = compiled(lang)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    coloured = Highlight2HTML(pygments_lexer="ipython3")
    exporter.register_filter("highlight_code", coloured)
    exporter.register_filter("without_bars", lambda text: FULL_BAR.sub("", text))
    tables = count(1)  # two frames of the same columns have the same id
    exporter.register_filter(
        "numbered", lambda told: STYLER.sub(rf"T_\1n{next(tables)}", told)
    )
    page = ("../" if source.stem == "run" else "") + REPLIES
    exporter.register_filter("linked", _linker(page, source.parent))
    words: dict[str, Any] = {
        f"igaku_{name}": say(f"page_{name}", lang) for name in ("code", "figure", "tap")
    }
    words["igaku_folds"] = {f"fold-{n}": say(f"page_fold_{n}", lang) for n in FOLDS}
    try:
        # Not the HTMLExporter's own, which parses the whole page for missing texts.
        body, _ = TemplateExporter.from_notebook_node(exporter, notebook, words)
    except (ValueError, KeyError, AttributeError) as broken:
        raise _damaged(source) from broken
    return str(body)


def _linker(page: str, folder: Path) -> Callable[[str], str]:
    """What makes of each number of a question in a table a link to the replies to it.

    The address is relative: sent to somebody alone, a page keeps the numbers and has
    links that lead nowhere. What is not on the page of replies is left as it is.
    """
    path = folder / page
    there = {*ANCHORED.findall(path.read_text("utf-8"))} if path.is_file() else set()

    def linked(found: re.Match[str]) -> str:
        cell, name = found.groups()
        if name not in there:
            return found[0]
        return f'{cell}<a href="{page}#{name}">{name}</a>'

    return partial(NUMBERED.sub, linked)


def _headline(notebook: Path, lang: str) -> str:
    """What a run came to, above its notebook; empty for a notebook of another kind."""
    folder = notebook.parent
    if notebook.stem != "run" or not (folder / MANIFEST).is_file():
        return ""
    if unfit(folder / ANSWERS):
        return ""
    from igaku.pages.index import score_rows  # pandas, without which most pages do
    from igaku.study.families import study_of
    from igaku.study.runs import load_run

    (row,) = score_rows(study_of([load_run(folder)], lang=lang))
    return str(environment(lang).get_template("headline.html.j2").render(row=row))


def _damaged(notebook: Path) -> IgakuError:
    return IgakuError(f"{notebook} is not a whole notebook: execute it again.")
