"""Executed notebooks become web pages that need nothing but themselves.

A page makes no request, runs no script and says so in its content policy, so that what
a model wrote cannot do anything in it. The code of a notebook is folded away, not left
out; of words that it holds in two languages, a page shows those of its own.
"""

from __future__ import annotations

import html
import json
import re
import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from igaku.ask.folder import MANIFEST, replace
from igaku.errors import IgakuError
from igaku.pages.view import origin, weights_word
from igaku.shown import (
    LANGUAGES,
    MISSING,
    escaped,
    is_missing,
    kind_of_number,
    labelled,
    mark_words,
    say,
    share,
)
from igaku.study import former_scoring as scoring
from igaku.study.runs import Run, find_runs, unmeasured

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #5b6570; --page: #fff;
  --line: #d9dde2; --soft: #f4f6f8; --link: #0b5cad; --alarm: #a3260b; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e4e7ea;
  --dim: #9aa4ae; --page: #14171a; --line: #363c43; --soft: #1e2327; --link: #7ab8f5;
  --alarm: #ff9b80; } img { background: #fff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.65;
  font-family: system-ui, "Hiragino Sans", "Noto Sans CJK JP", "Noto Sans JP",
  "Yu Gothic UI", Meiryo, IPAexGothic, sans-serif; overflow-wrap: anywhere; }
main { width: 100%; max-width: 66rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
.contents { font-size: .85rem; line-height: 1.4; padding: 1rem 1rem 0; }
.contents ul { list-style: none; margin: 0; padding: 0; }
.contents ul ul { padding-left: .9rem; }
.contents a { display: block; padding: .2rem 0; text-decoration: none; }
.contents .column { display: none; }
h1 { font-size: 1.6rem; line-height: 1.3; } h2 { font-size: 1.25rem;
  margin-top: 2.4rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1.05rem; margin-top: 1.8rem; }
h4 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
[id] { scroll-margin-top: .6rem; }
a { color: var(--link); }
.cell { margin: .3rem 0; } .output_area { margin: .4rem 0; }
.scroll, .rendered_html { overflow-x: auto; }
/* A shade at the edge beyond which a table goes on; its cover moves with the table. */
.scroll { background:
  linear-gradient(to left, var(--page) 40%, transparent) right / 3rem no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / 1rem no-repeat scroll; }
table { border-collapse: collapse; font-size: .9rem; margin: .4rem 0;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: normal; }
thead th, tbody th { text-align: left; }
thead th { border-bottom: 2px solid var(--dim); vertical-align: bottom;
  min-width: 4.6rem; max-width: 10rem; }
th[scope], td { white-space: nowrap; }
td.long { white-space: normal; min-width: 13rem; overflow-wrap: anywhere; }
.scroll th[scope], .scroll thead th:first-child { position: sticky; left: 0;
  background: var(--page); }
pre, code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono",
  "Noto Sans Mono CJK JP", IPAexGothic, monospace; font-size: .85rem; }
pre { background: var(--soft); padding: .6rem .8rem; border-radius: 4px;
  margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.highlight pre { white-space: pre; overflow-x: auto; }
details.code { color: var(--dim); font-size: .85rem; }
summary { cursor: pointer; color: var(--dim); }
img { max-width: 100%; min-width: 40rem; height: auto; }
.output_png { overflow-x: auto; }
.alarm { color: var(--alarm); font-weight: 600; }
.note { color: var(--dim); }
.output_error pre, .output_stderr pre { border-left: 3px solid var(--alarm); }
@media (max-width: 40rem) { .scroll th[scope] { white-space: normal;
  max-width: 11rem; overflow-wrap: break-word; } .scroll th.run { min-width: 7rem; }
  .scroll td[style$="left"] { white-space: normal; min-width: 7.5rem; } }
@media screen and (min-width: 70rem) {
  .beside { display: grid; grid-template-columns: 16rem minmax(0, 1fr); }
  .contents .fold { display: none; }
  .contents .column { display: block; position: sticky; top: 0; max-height: 100vh;
    overflow-y: auto; padding: 1rem 0; } .contents { padding: 0 0 0 1rem; } }
@media print { :root { color-scheme: light; } main { max-width: none; padding: 0; }
  .contents, details.code { display: none; }
  pre, .highlight pre { max-height: none !important; overflow: visible !important;
    white-space: pre-wrap; }
  .scroll, .output_png, .rendered_html { overflow: visible !important;
    background: none; }
  table { font-size: 7pt; } th, td { padding: .15rem .2rem; }
  thead th, td.long { min-width: 0; } th[scope], td { white-space: normal; }
  .scroll th { position: static !important; } td { overflow-wrap: anywhere; }
  h2, h3, h4, caption { break-after: avoid; }
  img, tr { break-inside: avoid; } img { min-width: 0; } }
"""

# Pygments' names, in two sets of colours that are legible on both grounds.
CODE_STYLE = """
.highlight .k, .highlight .kn, .highlight .kc, .highlight .ow { color: #7a3e9d; }
.highlight .s1, .highlight .s2, .highlight .sa, .highlight .si { color: #0a6b3d; }
.highlight .c1 { color: #66707a; font-style: italic; }
.highlight .mi, .highlight .mf { color: #0b5cad; }
@media screen and (prefers-color-scheme: dark) {
  .highlight .k, .highlight .kn, .highlight .kc, .highlight .ow { color: #d0a5ea; }
  .highlight .s1, .highlight .s2, .highlight .sa, .highlight .si { color: #8fd6ac; }
  .highlight .c1 { color: #9aa4ae; } .highlight .mi, .highlight .mf { color: #8cc4ff; }
}
"""

PAGE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body{shape}>{contents}<main>
{body}</main></body></html>
"""

TEMPLATE = """
{%- extends 'classic/base.html.j2' -%}
{% block header %}{% endblock %}
{% block footer %}{% endblock %}
{% block codecell %}<div class="cell">{{ self.input_group() }}
{%- if cell.outputs %}{{ self.output_group() }}{% endif %}</div>{% endblock %}
{% block input_group %}<details class="code"><summary>
{{- resources.igaku_code }}</summary>{{ cell.source | highlight_code }}</details>
{% endblock %}
{% block in_prompt %}{% endblock %}
{% block output_area_prompt %}{% endblock %}
{% block markdowncell scoped %}<div class="cell">
{{- cell.source | in_language | markdown2html | own_headings }}</div>{% endblock %}
{% block data_javascript %}{% endblock %}
{% block data_widget_view %}{% endblock %}
"""


def render(outputs_dir: str | Path, lang: str | None = None) -> list[Path]:
    """Pages for every executed notebook under a folder, and an index of its runs.

    Each page is written beside its notebook; the index comes last. `lang` is the
    language of the index, by default that of the analysis.
    """
    folder = Path(outputs_dir).expanduser()
    if not folder.is_dir():
        raise IgakuError(f"There is no folder {folder}: run a notebook first.")
    # A notebook with no run beside it is an example, and none of this folder's.
    runs = [
        p for p in sorted(folder.glob("*/run.ipynb")) if (p.parent / MANIFEST).is_file()
    ]
    notebooks = [*runs, *sorted(folder.glob("*.ipynb"))]
    pages = [render_notebook(path, lang=lang) for path in notebooks]
    return [*pages, write_index(folder, lang or _index_language(notebooks))]


def render_notebook(
    notebook: str | Path, page: str | Path | None = None, lang: str | None = None
) -> Path:
    """The page of one executed notebook, beside it unless told; returns its path.

    It is in the language the notebook was executed in: a page whose words were in
    another one would mix them. `lang` is for notebooks that do not tell theirs.
    """
    source = Path(notebook).expanduser()
    target = Path(page).expanduser() if page else source.with_suffix(".html")
    _write(target, _exported(source, _language(source) or lang or "ja"))
    return target


def write_index(outputs_dir: str | Path, lang: str = "ja") -> Path:
    """The page that lists the runs with status, score and date, and links each."""
    folder = Path(outputs_dir).expanduser()
    runs = find_runs(folder)
    title = say(lang, "実行の一覧", "Runs")
    body = f"<h1>{escaped(title)}</h1>{_links(folder, lang)}"
    body += _index_table(runs, unmeasured(folder), lang)
    target = folder / "index.html"
    _write(target, page_of(f"igaku: {title}", body, lang))
    return target


# --- the frame of every page ----------------------------------------------------------

HEADING = re.compile(r"<h([1-6])((?:\s[^>]*)?)>(.*?)</h\1>", re.S)
ANCHOR = re.compile(r"""\bid=(["'])(.*?)\1""")
TAG = re.compile(r"<[^>]*>")
Entry = tuple[int, str, str]  # a heading's level, its anchor and its words


def page_of(title: str, body: str, lang: str) -> str:
    """A whole page around HTML that is escaped already, with its table of contents."""
    body, entries = _anchored(body)
    contents = _contents(entries, lang)
    return PAGE.format(
        lang=lang,
        policy=POLICY,
        title=escaped(title),
        style=STYLE + CODE_STYLE,
        shape=' class="beside"' if contents else "",
        contents=contents,
        body=body,
    )


def _anchored(body: str) -> tuple[str, list[Entry]]:
    """HTML whose headings each have an anchor of their own, and the list of them."""
    entries: list[Entry] = []
    taken: set[str] = set()

    def anchored(found: re.Match[str]) -> str:
        level, about, inside = found.groups()
        given = ANCHOR.search(about)
        anchor = _unique(_anchor(given[2] if given else inside), taken)
        entries.append((int(level), anchor, TAG.sub("", inside)))
        return f'<h{level} id="{anchor}"{ANCHOR.sub("", about)}>{inside}</h{level}>'

    return HEADING.sub(anchored, body), entries


def _anchor(inside: str) -> str:
    """The anchor of a heading, as JupyterLab makes it: its words joined by hyphens.

    >>> _anchor("What was <em>found</em>?")
    'What-was-found?'
    """
    return html.escape("-".join(html.unescape(TAG.sub("", inside)).split()))


def _unique(anchor: str, taken: set[str]) -> str:
    """An anchor that no earlier heading has, which is taken from now on."""
    found, n = anchor, 1
    while found in taken:
        n += 1
        found = f"{anchor}-{n}"
    taken.add(found)
    return found


def _contents(entries: list[Entry], lang: str) -> str:
    """The table of contents: a column on a wide screen, folded on a narrow one.

    Empty where there is nothing to choose from.
    """
    listed = _nested([entry for entry in entries if entry[0] in (2, 3)])
    if listed.count("<a ") < 2:
        return ""
    name = say(lang, "目次", "Contents")
    return (
        f'<nav class="contents" aria-label="{name}"><details class="fold">'
        f'<summary>{name}</summary>{listed}</details><div class="column">{listed}</div>'
        "</nav>"
    )


def _nested(entries: list[Entry]) -> str:
    """Headings as a list, those of the third level inside the second's."""
    groups: list[list[Entry]] = []
    for entry in entries:
        if entry[0] == 2 or not groups:
            groups.append([])
        groups[-1].append(entry)
    items = (
        f"<li>{_link(first)}{_listed(map(_link, rest))}</li>" for first, *rest in groups
    )
    return f"<ul>{''.join(items)}</ul>"


def _listed(items: Iterable[str]) -> str:
    inside = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{inside}</ul>" if inside else ""


def _link(entry: Entry) -> str:
    _, anchor, words = entry
    return f'<a href="#{_href(html.unescape(anchor))}">{words}</a>'


# --- one notebook ---------------------------------------------------------------------


def _language(notebook: Path) -> str | None:
    """The language a notebook was executed in, as papermill or its cells say."""
    try:
        content = json.loads(notebook.read_bytes())
        about = content["metadata"].get("papermill", {}).get("parameters", {})
        is_executed = any(cell.get("outputs") for cell in content["cells"])
        own = _parameter(content["cells"]) if is_executed else None
        given = about.get("lang") or own
    except FileNotFoundError:
        raise IgakuError(
            f"There is no notebook {notebook}: execute it first, with papermill."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise _damaged(notebook) from broken
    return given if given in LANGUAGES else None


def _parameter(cells: list[dict[str, Any]]) -> str | None:
    """The last `lang` among cells of parameters, as JupyterLab's user leaves it."""
    sources = ["".join(cell["source"]) for cell in cells if _has_parameters(cell)]
    given = re.findall(r"^lang = [\"'](\w+)[\"']", "\n".join(sources), re.M)
    return given[-1] if given else None


def _has_parameters(cell: dict[str, Any]) -> bool:
    tags = cell["metadata"].get("tags", [])
    return "parameters" in tags or "injected-parameters" in tags


def _exported(notebook: Path, lang: str) -> str:
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    exporter = HTMLExporter(raw_template=TEMPLATE, exclude_anchor_links=True)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    exporter.register_filter("in_language", partial(in_language, lang=lang))
    exporter.register_filter("own_headings", partial(_own_headings, lang=lang))
    words = {"igaku_code": say(lang, "コード", "Code")}
    with warnings.catch_warnings():
        # Our pictures carry a text of their own; one from elsewhere may lack it.
        warnings.filterwarnings("ignore", message="Alternative text is missing")
        try:
            body, _ = exporter.from_filename(str(notebook), resources=words)
        except (ValueError, KeyError, AttributeError) as broken:
            raise _damaged(notebook) from broken
    return page_of(_title(notebook), str(body), lang)


# A fence with all that is in it, a heading, or lines up to an empty one.
BLOCK = re.compile(
    r"^(`{3,}|~{3,})[^\n]*\n.*?(?:^\1[`~]*[ \t]*$|\Z)"
    r"|^#{1,6}[ \t][^\n]*"
    r"|(?:^(?!`{3}|~{3}|#{1,6}[ \t])[^\n]*\S[^\n]*(?:\n|\Z))+",
    re.S | re.M,
)
NO_WORDS = re.compile(r"^(?:```|~~~|#| {4}).*|`[^`]*`|!\[[^\]]*\]\([^)]*\)", re.S)


def in_language(markdown: str, lang: str) -> str:
    r"""Markdown without the paragraphs that say the same in another language.

    A cell that holds one language only stays as it is, and so do code and headings.

    >>> in_language("# 題 · Title\n\nこれは題です。\n\nThis is a title.", "en")
    '# 題 · Title\n\nThis is a title.'
    """
    blocks = [found[0].rstrip("\n") for found in BLOCK.finditer(markdown)]
    spoken = [_spoken(block) for block in blocks]
    if lang not in spoken:
        return markdown
    pairs = zip(blocks, spoken, strict=True)
    return "\n\n".join(block for block, of in pairs if of in (lang, ""))


def _spoken(block: str) -> str:
    """The language of a block: hiragana is Japanese, other words are English."""
    words = NO_WORDS.sub("", block)
    if re.search("[ぁ-ゖ]", words):
        return "ja"
    return "en" if re.search("[A-Za-z]{2}", words) else ""


def _own_headings(markup: str, lang: str) -> str:
    """Headings in one language, each under the anchor that JupyterLab gives it."""
    return HEADING.sub(partial(_own_heading, lang=lang), markup)


def _own_heading(found: re.Match[str], lang: str) -> str:
    level, _, inside = found.groups()
    halves = inside.split(" · ")
    words = halves[LANGUAGES.index(lang)] if len(halves) == len(LANGUAGES) else inside
    return f'<h{level} id="{_anchor(inside)}">{words}</h{level}>'


def _damaged(notebook: Path) -> IgakuError:
    return IgakuError(f"{notebook} is not a whole notebook: execute it again.")


def _title(source: Path) -> str:
    return f"igaku: {source.parent.name if source.stem == 'run' else source.stem}"


def _index_language(notebooks: list[Path]) -> str:
    """The language of the analysis, or of the last notebook where there is none."""
    if not notebooks:
        return "ja"
    analyses = [path for path in notebooks if path.stem == "analysis"]
    return _language((analyses or notebooks)[-1]) or "ja"


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(target, text.encode())


# --- the index ------------------------------------------------------------------------


# What the pages beside the index are called in it, in this order.
PAGES = {
    "analysis": ("全モデルの比較", "All models side by side"),
    "report": ("比較の文書", "The comparison as a document"),
    "mechanism": ("何が推論を壊すか（lab）", "What breaks the reasoning (lab)"),
}


def _links(folder: Path, lang: str) -> str:
    stems = {p.stem for p in folder.glob("*.html")} - {"index"}
    known = [stem for stem in PAGES if stem in stems]
    items = (
        f'<a href="{_href(stem)}.html">{escaped(_page_name(stem, lang))}</a>'
        for stem in [*known, *sorted(stems - set(known))]
    )
    return _listed(items)


def _page_name(stem: str, lang: str) -> str:
    if stem in PAGES:
        return say(lang, *PAGES[stem])
    kind, _, name = stem.partition("-")
    is_sweep = kind == "sweep" and name
    return say(lang, f"スイープ {name}", f"Sweep {name}") if is_sweep else stem


def _index_table(runs: list[Run], jobs: list[dict[str, Any]], lang: str) -> str:
    if not runs and not jobs:
        empty = say(lang, "まだ実行がありません。", "There are no runs yet.")
        return f"<p>{escaped(empty)}</p>"
    names = say(
        lang,
        "実行|モデル|状態|正答率|空回答|日時 (UTC)|重み|種別|試験",
        "Run|Model|Status|Accuracy|Blank|Date (UTC)|Weights|Kind|Exam",
    )
    head = "".join(f"<th>{escaped(name)}</th>" for name in names.split("|"))
    body = "".join(
        _index_row(run, row, lang)
        for run, (_, row) in zip(runs, scoring.summary(runs).iterrows(), strict=True)
    )
    body += "".join(_job_row(job, lang) for job in jobs)
    note = mark_words((labelled(run.label, run.identity) for run in runs), lang)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<p class="note">{escaped(note)}</p>{origin(runs, lang).html}'
    )


def _index_row(run: Run, row: Any, lang: str) -> str:
    date = None if is_missing(row["started"]) else f"{row['started']:%Y-%m-%d %H:%M}"
    cells = [
        labelled(run.label, run.identity),
        str(scoring.status(run)),
        _part(row["correct"], row["asked"]),
        _part(row["blank"], row["asked"]),
        date,
        weights_word(run, lang),
        kind_of_number(run.origin, lang),
        run.exam,
    ]
    shown = "".join(
        f"<td>{escaped(MISSING if is_missing(c) else c)}</td>" for c in cells
    )
    return f'<tr><th scope="row" class="run">{_page_link(run, lang)}</th>{shown}</tr>'


def _page_link(run: Run, lang: str) -> str:
    """The name of a run, which leads to its page where it has one."""
    name = escaped(run.name)
    if (run.folder / "run.html").is_file():
        return f'<a href="{_href(run.name)}/run.html">{name}</a>'
    missing = say(lang, "（ページなし）", " (no page)")
    return f'{name}<span class="note">{missing}</span>'


def _part(n: Any, asked: int) -> str | None:
    """A share of the replies, with the counts that it comes from."""
    return f"{share(n / asked)} ({n}/{asked})" if asked else None


def _job_row(job: dict[str, Any], lang: str) -> str:
    """A run that a sweep could not begin: why, where a run has its numbers."""
    why = say(lang, f"未測定: {job.get('why')}", f"not measured: {job.get('why')}")
    model = escaped(job.get("model") or MISSING)
    return (
        f'<tr><th scope="row" class="run">{escaped(job["run"])}</th><td>{model}</td>'
        f'<td class="long" colspan="7">{escaped(why)}</td></tr>'
    )


def _href(name: str) -> str:
    return quote(name)
