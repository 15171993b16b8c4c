"""Executed notebooks become web pages that need nothing but themselves.

A page makes no request, runs no script and says so in its content policy, so that what
a model wrote cannot do anything in it. The code of a notebook is folded away, not left
out.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from igaku import scoring
from igaku.errors import IgakuError
from igaku.folder import replace
from igaku.results import Run, find_runs, unmeasured
from igaku.shown import (
    LANGUAGES,
    escaped,
    figure_of,
    is_missing,
    kind_of_number,
    labelled,
    mark_words,
    say,
    share,
)
from igaku.view import weights_word

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #5b6570; --page: #fff;
  --line: #d9dde2; --soft: #f4f6f8; --link: #0b5cad; --alarm: #a3260b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --dim: #9aa4ae;
  --page: #14171a; --line: #363c43; --soft: #1e2327; --link: #7ab8f5;
  --alarm: #ff9b80; } img { background: #fff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.65;
  font-family: system-ui, "Hiragino Sans", "Noto Sans CJK JP", "Noto Sans JP",
  "Yu Gothic UI", Meiryo, IPAexGothic, sans-serif; overflow-wrap: anywhere; }
main { max-width: 66rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.3; } h2 { font-size: 1.25rem;
  margin-top: 2.4rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1.05rem; margin-top: 1.8rem; }
h4 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
a { color: var(--link); } .anchor-link { display: none; }
.cell { margin: .3rem 0; } .output_area { margin: .4rem 0; }
.scroll, .rendered_html { overflow-x: auto; }
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
  max-width: 11rem; overflow-wrap: break-word; } }
@media print { main { max-width: none; padding: 0; } details.code { display: none; }
  pre { max-height: none !important; overflow: visible !important; }
  .scroll { overflow: visible; } h2, h3, h4 { break-after: avoid; }
  img, tr { break-inside: avoid; } img { min-width: 0; } }
"""

# Pygments' names, in two sets of colours that are legible on both grounds.
CODE_STYLE = """
.highlight .k, .highlight .kn, .highlight .kc, .highlight .ow { color: #7a3e9d; }
.highlight .s1, .highlight .s2, .highlight .sa, .highlight .si { color: #0a6b3d; }
.highlight .c1 { color: #66707a; font-style: italic; }
.highlight .mi, .highlight .mf { color: #0b5cad; }
@media (prefers-color-scheme: dark) {
  .highlight .k, .highlight .kn, .highlight .kc, .highlight .ow { color: #d0a5ea; }
  .highlight .s1, .highlight .s2, .highlight .sa, .highlight .si { color: #8fd6ac; }
  .highlight .c1 { color: #9aa4ae; } .highlight .mi, .highlight .mf { color: #8cc4ff; }
}
"""

HEAD = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
"""
FOOT = "</main></body></html>\n"

TEMPLATE = """
{%- extends 'classic/base.html.j2' -%}
{% block header %}{{ resources.igaku_head }}{% endblock %}
{% block footer %}{{ resources.igaku_foot }}{% endblock %}
{% block codecell %}<div class="cell">{{ self.input_group() }}
{%- if cell.outputs %}{{ self.output_group() }}{% endif %}</div>{% endblock %}
{% block input_group %}<details class="code"><summary>
{{- resources.igaku_code }}</summary>{{ cell.source | highlight_code }}</details>
{% endblock %}
{% block in_prompt %}{% endblock %}
{% block output_area_prompt %}{% endblock %}
{% block markdowncell scoped %}<div class="cell">
{{- cell.source | markdown2html }}</div>{% endblock %}
{% block data_javascript %}{% endblock %}
{% block data_widget_view %}{% endblock %}
"""


def render(outputs_dir: str | Path, lang: str | None = None) -> list[Path]:
    """Pages for every executed notebook under a folder, and an index of its runs.

    Each page is written beside its notebook; the index comes last. `lang` is the
    language each notebook was executed in unless told.
    """
    folder = Path(outputs_dir).expanduser()
    if not folder.is_dir():
        raise IgakuError(f"There is no folder {folder}: run a notebook first.")
    notebooks = [*sorted(folder.glob("*/run.ipynb")), *sorted(folder.glob("*.ipynb"))]
    pages = [render_notebook(path, lang=lang) for path in notebooks]
    return [*pages, write_index(folder, lang or _index_language(notebooks))]


def render_notebook(
    notebook: str | Path, page: str | Path | None = None, lang: str | None = None
) -> Path:
    """The page of one executed notebook, beside it unless told; returns its path."""
    source = Path(notebook).expanduser()
    target = Path(page).expanduser() if page else source.with_suffix(".html")
    _write(target, _exported(source, lang or _language(source)))
    return target


def write_index(outputs_dir: str | Path, lang: str = "ja") -> Path:
    """The page that lists the runs with status, score and date, and links each."""
    folder = Path(outputs_dir).expanduser()
    runs = find_runs(folder)
    title = say(lang, "実行の一覧", "Runs")
    body = f"<h1>{escaped(title)}</h1>{_links(folder)}"
    body += _index_table(runs, unmeasured(folder), lang)
    target = folder / "index.html"
    _write(target, _head(f"igaku: {title}", lang) + body + FOOT)
    return target


def page_of(title: str, body: str, lang: str) -> str:
    """A whole page around HTML that is escaped already."""
    return _head(title, lang) + body + FOOT


# --- one notebook ---------------------------------------------------------------------


def _language(notebook: Path) -> str:
    """The language a notebook was executed in."""
    try:
        about = json.loads(notebook.read_bytes())["metadata"]
        given = about.get("papermill", {}).get("parameters", {}).get("lang")
    except FileNotFoundError:
        raise IgakuError(
            f"There is no notebook {notebook}: execute it first, with papermill."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise _damaged(notebook) from broken
    return given if given in LANGUAGES else "ja"


def _exported(notebook: Path, lang: str) -> str:
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    exporter = HTMLExporter(raw_template=TEMPLATE, exclude_anchor_links=True)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    words = {
        "igaku_head": _head(_title(notebook), lang),
        "igaku_foot": FOOT,
        "igaku_code": say(lang, "コード", "Code"),
    }
    with warnings.catch_warnings():
        # Our pictures carry a text of their own; one from elsewhere may lack it.
        warnings.filterwarnings("ignore", message="Alternative text is missing")
        try:
            html, _ = exporter.from_filename(str(notebook), resources=words)
        except (ValueError, KeyError, AttributeError) as broken:
            raise _damaged(notebook) from broken
    return str(html)


def _damaged(notebook: Path) -> IgakuError:
    return IgakuError(f"{notebook} is not a whole notebook: execute it again.")


def _head(title: str, lang: str) -> str:
    style = STYLE + CODE_STYLE
    return HEAD.format(lang=lang, policy=POLICY, title=escaped(title), style=style)


def _title(source: Path) -> str:
    return f"igaku: {source.parent.name if source.stem == 'run' else source.stem}"


def _index_language(notebooks: list[Path]) -> str:
    """The language of the last notebook, which is the analysis where there is one."""
    return _language(notebooks[-1]) if notebooks else "ja"


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(target, text.encode())


# --- the index ------------------------------------------------------------------------


def _links(folder: Path) -> str:
    pages = sorted(p for p in folder.glob("*.html") if p.name != "index.html")
    items = "".join(
        f'<li><a href="{_href(p.name)}">{escaped(p.stem)}</a></li>' for p in pages
    )
    return f"<ul>{items}</ul>" if items else ""


def _index_table(runs: list[Run], jobs: list[dict[str, Any]], lang: str) -> str:
    if not runs and not jobs:
        empty = say(lang, "まだ実行がありません。", "There are no runs yet.")
        return f"<p>{escaped(empty)}</p>"
    names = say(
        lang,
        "実行|モデル|種別|試験|重み|状態|正答|正答率|空回答|日時 (UTC)",
        "Run|Model|Kind|Exam|Weights|Status|Correct|Accuracy|Blank|Date (UTC)",
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
        f'<p class="note">{escaped(note)}</p>'
    )


def _index_row(run: Run, row: Any, lang: str) -> str:
    name = escaped(run.name)
    if (run.folder / "run.html").is_file():
        name = f'<a href="{_href(run.name)}/run.html">{name}</a>'
    date = None if is_missing(row["started"]) else f"{row['started']:%Y-%m-%d %H:%M}"
    cells = [
        labelled(run.label, run.identity),
        kind_of_number(run.origin, lang),
        run.exam,
        weights_word(run, lang),
        str(scoring.status(run)),
        f"{row['correct']}/{row['asked']}",
        share(row["accuracy"]),
        figure_of(row["blank"]),
        date,
    ]
    shown = "".join(f"<td>{escaped('–' if is_missing(c) else c)}</td>" for c in cells)
    return f'<tr><th scope="row">{name}</th>{shown}</tr>'


def _job_row(job: dict[str, Any], lang: str) -> str:
    """A run that a sweep could not begin: why, where a run has its numbers."""
    why = say(lang, f"未測定: {job.get('why')}", f"not measured: {job.get('why')}")
    cells = "".join(
        f"<td>{escaped(cell)}</td>" for cell in (job.get("model") or "–", "–", "–", "–")
    )
    return (
        f'<tr><th scope="row">{escaped(job["run"])}</th>{cells}'
        f'<td class="long" colspan="5">{escaped(why)}</td></tr>'
    )


def _href(name: str) -> str:
    from urllib.parse import quote

    return quote(name)
