"""Pages of notebooks: one file each, offline, in the notebook's language."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from runs import sit

import igaku
from igaku.errors import IgakuError
from igaku.pages import html, notebooks

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</pre></div><h1>escaped</h1>",
    "[link](javascript:alert(1)) ![x](http://example.org/x.png)",
    "$\\href{javascript:alert(1)}{x}$ $$\\frac{1}{2}$$",
    "\x1b[31mred\x1b[0m \x00 \u202eright to left",
    "half a pair \ud83d",
]


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def notebook(path, *cells, **parameters):
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"papermill": {"parameters": parameters}}
    nbformat.write(new_notebook(cells=list(cells), metadata=about), path)
    return path


def displayed(markup):
    data = {"text/html": markup, "text/plain": "x"}
    return new_code_cell("show()", outputs=[new_output("display_data", data)])


def said(text, stream="stdout"):
    return new_code_cell(
        "say()", outputs=[new_output("stream", name=stream, text=text)]
    )


def rendered(path, *cells, **parameters):
    return notebooks.render_notebook(notebook(path, *cells, **parameters)).read_text(
        "utf-8"
    )


# --- escaping -------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_in_a_frame_is_shown_and_does_nothing(tmp_path, text):
    frame = pd.DataFrame(
        {"content": [text], text: ["x"]}, index=pd.Index([text], name=text)
    )
    told = displayed(igaku.printed(frame).to_html())
    elements = Elements(rendered(tmp_path / "x.ipynb", told))
    tags = {tag for tag, _ in elements.found}
    assert tags.isdisjoint({"script", "svg", "iframe", "a"}) and not elements.of("img")
    assert not any(n.startswith("on") for _, given in elements.found for n in given)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("pieces", ["html.j2", "md.j2"])
def test_a_template_escapes_all_that_is_put_into_it(text, pieces):
    frame = pd.DataFrame({"label": [text, 'x" onclick="y'], text: [1, 2]})
    table = html.tabled(frame, "en")
    made = html.environment("en", *[html.marked] * (pieces == "md.j2"))
    source = f'{{% import "{pieces}" as d with context %}}{{{{ d.table(t, text) }}}}'
    told = made.from_string(source).render(t=table, text=text, number=lambda _: 1)
    assert "\x1b" not in told and "\x00" not in told and "\u202e" not in told
    told.encode()
    assert {tag for tag, _ in Elements(told).found} <= {
        "p", "b", "div", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert not any(
        n.startswith("on") for _, given in Elements(told).found for n in given
    )
    if pieces == "md.j2":
        assert not re.search(r"(?<!\\)\]\(", told)


# --- the frame of a page --------------------------------------------------------------


def test_a_page_asks_nobody_for_anything(tmp_path):
    cells = [
        new_markdown_cell("# Title\n$x$"),
        displayed("<table><tr><td>1</table>"),
    ]
    page = rendered(tmp_path / "run.ipynb", *cells)
    elements = Elements(page)
    assert not elements.of("script")
    assert not elements.of("iframe")
    sources = [
        given.get("src", "") + given.get("href", "") for _, given in elements.found
    ]
    assert [s for s in sources if s and not s.startswith(("data:", "#"))] == []
    assert not re.findall(r"url\(|@import", page)
    policy = [
        m
        for m in elements.of("meta")
        if "content" in m and "default-src" in m["content"]
    ]
    assert policy[0]["content"].startswith("default-src 'none'")


def test_code_is_folded_and_not_left_out(tmp_path):
    page = rendered(tmp_path / "run.ipynb", new_code_cell("answer = '42'"), lang="en")
    assert '<details class="code"><summary>Code</summary>' in page
    assert "answer" in page
    assert '<html lang="en">' in page
    assert not Elements(page).of("details")[0].get("open")


def test_a_table_that_its_cell_folds_is_behind_a_click(tmp_path):
    cell = displayed("<table><tr><td>26 settings</table>")
    cell.metadata["tags"] = ["fold-settings"]
    page = rendered(tmp_path / "run.ipynb", cell, displayed("<p>in view</p>"))
    assert "<summary>The settings of this run</summary>" in page
    inside = page.partition('<details class="more">')[2].partition("</details>")[0]
    assert "26 settings" in inside and "in view" not in inside


def test_two_frames_of_the_same_columns_are_two_tables_of_a_page(tmp_path):
    told = displayed(igaku.printed(pd.DataFrame({"right": [1]})).to_html())
    again = displayed(told.outputs[0]["data"]["text/html"])
    page = Elements(rendered(tmp_path / "run.ipynb", told, again))
    ids = [given["id"] for given in page.of("table")]
    assert len(set(ids)) == 2


def test_the_language_is_that_of_the_parameters_where_papermill_says_none(tmp_path):
    cell = new_code_cell(
        'lang: str = "ja"  # of this page', metadata={"tags": ["parameters"]}
    )
    assert '<html lang="ja">' in rendered(tmp_path / "run.ipynb", cell)
    assert '<html lang="en">' in rendered(tmp_path / "other.ipynb")
    assert '<html lang="en">' in rendered(tmp_path / "two.ipynb", cell, lang="en")


@pytest.mark.parametrize("name", ["run", "analysis", "mechanism"])
@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_notebook_of_ours_becomes_a_page_of_one_language(
    tmp_path, checkout, name, lang
):
    tail = ".ja" if lang == "ja" else ""
    source = checkout / f"notebooks/{name}{tail}.ipynb"
    page = notebooks.render_notebook(source, tmp_path / "page.html").read_text("utf-8")
    assert f'<html lang="{lang}">' in page
    prose = re.findall(r"<(?:h[1-6]|p)(?: [^>]*)?>(.*?)</(?:h[1-6]|p)>", page, re.S)
    kana = [bool(re.search("[ぁ-ゖ]", re.sub("<[^>]*>", "", words))) for words in prose]
    assert len(prose) > 10 and (sum(kana) > 0.6 * len(kana)) == (lang == "ja")
    assert lang == "ja" or not any(kana)


def test_the_contents_list_headings_of_words_and_of_outputs(tmp_path):
    cells = [
        new_markdown_cell("# Title\n\n## One"),
        displayed("<h3>Same</h3><h4>deeper</h4>"),
        new_markdown_cell("## Two & `three`"),
        displayed("<h3>Same</h3><h2>a &lt;b&gt;</h2>"),
    ]
    page = rendered(tmp_path / "run.ipynb", *cells)
    column = page.partition('<div class="column">')[2].partition("</nav>")[0]
    links = re.findall(r'<a href="#([^"]*)">(.*?)</a>', column)
    assert [words for _, words in links] == [
        "One", "Same", "Two &amp; three", "Same", "a &lt;b&gt;",
    ]  # fmt: skip
    ids = {given["id"] for _, given in Elements(page).found if "id" in given}
    assert all(unquote(anchor) in ids for anchor, _ in links)
    assert links[1][0] == "Same" and links[3][0] == "Same-2"
    assert column.count("<ul>") == 3  # each h3 inside its h2


def test_a_page_without_sections_has_no_contents():
    assert "<nav" not in html.framed("t", "<h1>t</h1><h2>only</h2>", "en")


# --- what notebooks put out -----------------------------------------------------------


def test_a_figure_is_in_the_page_and_has_a_text(tmp_path):
    picture = {"image/png": "iVBORw0KGgo=", "text/plain": "<Axes>"}
    for about, told in (({"alt": "a <b> 5"}, "a <b> 5"), ({}, "A figure")):
        cell = new_code_cell(
            "draw()",
            outputs=[
                new_output("display_data", picture, metadata={"image/png": about})
            ],
        )
        (image,) = Elements(rendered(tmp_path / "run.ipynb", cell)).of("img")
        assert image["src"].startswith("data:image/png")
        assert image["alt"].startswith(told)


def test_a_printed_reading_is_prose_and_a_bar_that_is_full_is_left_out(tmp_path):
    bar = said("asked: 100%|██████████| 3/3 [00:01<00:00]\nasked more\n", "stderr")
    page = rendered(tmp_path / "run.ipynb", said("B is <not> worse.\n"), bar)
    assert '<pre class="said">B is &lt;not&gt; worse.' in page
    assert "100%|" not in page and "asked more" in page


def test_a_progress_bar_is_one_line(tmp_path):
    bar = [new_output("stream", name="stdout", text=f"\r{i}/3") for i in range(1, 4)]
    page = rendered(tmp_path / "run.ipynb", new_code_cell("ask()", outputs=bar))
    assert "3/3" in page
    assert "1/3" not in page


def test_an_error_in_a_notebook_is_readable_without_its_colours(tmp_path):
    trouble = new_output(
        "error", ename="E", evalue="v", traceback=["\x1b[31mE\x1b[39m: <script>"]
    )
    page = rendered(tmp_path / "run.ipynb", new_code_cell("1/0", outputs=[trouble]))
    assert "\x1b" not in page
    assert not Elements(page).of("script")


def test_a_frame_has_words_to_the_left_and_numbers_to_the_right():
    frame = pd.DataFrame(
        {"label": ["a"], "right": [3], "score": ["286/400"], "low": [None]}
    )
    table = html.tabled(frame, "en")
    assert table.words == {0}
    assert table.rows == [["a", "3", "286/400", "–"]]
    assert table.head[0] == "Model"


# --- a folder of pages ----------------------------------------------------------------


def test_render_makes_every_page_and_an_index(tmp_path):
    sit(tmp_path, [True] * 3 + [False], "a run", card={"label": "<b>Emm</b>"})
    notebook(tmp_path / "a run" / "run.ipynb", new_markdown_cell("# run"))
    notebook(tmp_path / "example" / "run.ipynb", new_markdown_cell("# of no run"))
    notebook(tmp_path / "analysis.ipynb", new_markdown_cell("# all"), lang="en")
    pages = notebooks.render(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in pages] == [
        "a run/run.html", "analysis.html", "replies.html", "index.html",
    ]  # fmt: skip
    links = [given["href"] for given in Elements(pages[-1].read_text()).of("a")]
    assert links == ["analysis.html", "replies.html", "a%20run/run.html"]


def test_the_page_of_a_run_begins_with_what_it_came_to(tmp_path):
    sit(tmp_path, [True] * 3 + [False], "one", card={"label": "<b>Emm</b>"})
    path = notebook(tmp_path / "one/run.ipynb", new_markdown_cell("# Title"))
    before = notebooks.render_notebook(path).read_text("utf-8").partition("<h1")[0]
    assert "&lt;b&gt;Emm" in before and "3/4 right (75.0%)" in before
    assert "complete" in before and "not verified" in before


def test_what_cannot_be_rendered_is_one_sentence(tmp_path):
    with pytest.raises(IgakuError, match="nowhere"):
        notebooks.render(tmp_path / "nowhere")
    with pytest.raises(IgakuError, match="There is no notebook"):
        notebooks.render_notebook(tmp_path / "run.ipynb")
    (tmp_path / "run.ipynb").write_text("{")
    with pytest.raises(IgakuError, match="execute it again"):
        notebooks.render_notebook(tmp_path / "run.ipynb")
    with pytest.raises(IgakuError, match="'ja' or 'en'"):
        html.page("index.html.j2", "fr")
