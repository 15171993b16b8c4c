import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from runs import sit

from igaku import shown
from igaku.errors import IgakuError
from igaku.exam.questions import Question
from igaku.figures import plots
from igaku.pages import models, view
from igaku.pages.render import (
    in_language,
    page_of,
    render,
    render_notebook,
    write_index,
)
from igaku.study.runs import load_run
from igaku.study.study import study_of

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</pre></div><h1>escaped</h1>",
    "[link](javascript:alert(1)) ![x](http://example.org/x.png)",
    "$\\href{javascript:alert(1)}{x}$ $$\\frac{1}{2}$$",
    "\x1b[31mred\x1b[0m \x00 \u202eright to left",
    "half a pair \ud83d",
]
QUESTION = Question("900A1", "A", "どれか。", ("ア", "イ"), ("a",), "choice", 1, True)


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


def sitting(folder, contents, outcome="unparsable", label="m", **more):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "problem_id": f"900A{i}",
            "section": "A",
            "outcome": outcome,
            "correct": False,
            "content": content,
            "reasoning": content,
            "asked_at": "2026-02-07T10:00:00Z",
            **more,
        }
        for i, content in enumerate(contents, 1)
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    questions = [{"problem_id": x["problem_id"], "section": "A"} for x in lines]
    settings = {"model": "m", "exam": "calibration", "max_tokens": 64}
    about = {"settings": settings, "card": {"label": label}, "questions": questions}
    (folder / "manifest.json").write_text(json.dumps(about))
    return load_run(folder)


def notebook(path, *cells, **parameters):
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"papermill": {"parameters": parameters}}
    nbformat.write(new_notebook(cells=list(cells), metadata=about), path)
    return path


def displayed(html):
    data = {"text/html": html, "text/plain": "x"}
    return new_code_cell("show()", outputs=[new_output("display_data", data)])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_reply_is_shown_and_does_nothing(tmp_path, text):
    run = sitting(tmp_path / "run", [text])
    piece = view.samples(run, "unparsable", [QUESTION])
    elements = Elements(piece._repr_html_())
    assert {tag for tag, _ in elements.found} <= {
        "div",
        "p",
        "h3",
        "h4",
        "pre",
        "details",
        "summary",
    }
    assert not any(
        name.startswith("on") for _, given in elements.found for name in given
    )
    assert "mathjax_ignore" in piece._repr_html_()
    repr(piece).encode()
    assert "\x1b" not in repr(piece)


def test_a_reply_is_shown_whole(tmp_path):
    long = "一行目\n" + "x" * 50_000 + "終わり"
    html = view.samples(sitting(tmp_path / "run", [long]), "unparsable").html
    assert f"{'x' * 50_000}終わり" in html


def test_hostile_labels_and_settings_are_escaped_too(tmp_path):
    run = sitting(tmp_path / "run", ["a"], label="<script>alert(1)</script>")
    for piece in (
        models.overview(study_of([run])),
        models.models(study_of([run])),
        models.causes(study_of([run])),
    ):
        assert "script" not in {tag for tag, _ in Elements(piece.html).found}


def test_kinds_of_samples(tmp_path):
    blank = sitting(tmp_path / "run", ["", None], "truncated")
    assert "2" in view.samples(blank, "blank").text
    assert "ありません" in view.samples(blank, "wrong").text
    assert "no API errors" in view.samples(blank, "failed", lang="en").text
    failed = sitting(tmp_path / "two", [None], "api_error", error="HTTP 500 <b>")
    assert "HTTP 500 &lt;b&gt;" in view.samples(failed, "failed").html


def test_samples_are_spread_and_the_same_each_time(tmp_path):
    run = sitting(tmp_path / "run", [f"reply {i}" for i in range(100)])
    text = view.samples(run, "unparsable", n=3).text
    assert re.findall(r"^reply (\d+)$", text, re.M)[1::2] == ["0", "49", "99"]


def test_a_page_asks_nobody_for_anything(tmp_path):
    cells = [
        new_markdown_cell("# 題 · Title\n$x$"),
        displayed("<table><tr><td>1</table>"),
    ]
    page = render_notebook(notebook(tmp_path / "run.ipynb", *cells)).read_text()
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
    path = notebook(tmp_path / "run.ipynb", new_code_cell("answer = '42'"), lang="en")
    page = render_notebook(path).read_text()
    assert '<details class="code"><summary>Code</summary>' in page
    assert "answer" in page
    assert '<html lang="en">' in page
    assert not Elements(page).of("details")[0].get("open")


# --- one language, and the way through a page ----------------------------------------


KANA = re.compile("[ぁ-ゖ]")


def prose(page):
    """The headings and paragraphs of a page as text, each with its element."""
    found = re.findall(r"<(h[1-6]|p)(?: [^>]*)?>(.*?)</\1>", page, re.S)
    return [(tag, re.sub(r"<code>.*?</code>|<[^>]*>", "", text)) for tag, text in found]


@pytest.mark.parametrize("name", ["run", "analysis", "mechanism"])
@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_page_of_a_notebook_is_in_one_language(tmp_path, checkout, name, lang):
    path = checkout / f"notebooks/{name}.ipynb"
    page = render_notebook(path, tmp_path / "page.html", lang).read_text("utf-8")
    told = prose(page)
    assert len(told) > 10
    assert not any(" · " in words for _, words in told)
    if lang == "en":
        assert not any(KANA.search(words) for _, words in told)
    else:
        assert all(KANA.search(words) for tag, words in told if tag == "p")
    for cell in nbformat.read(path, 4).cells:
        for fence in re.findall(r"^```\w*\n(.*?)\n```", cell.source, re.S | re.M):
            words = re.sub(r"<[^>]*>", "", page)
            assert fence.split()[-1] in words


@pytest.mark.parametrize(
    ("markdown", "ja", "en"),
    [
        ("# 題 · Title\n\nこれ。\n\nThis.", "# 題 · Title\n\nこれ。",
         "# 題 · Title\n\nThis."),
        ("これ。\n\nThis (禁忌) one.", "これ。", "This (禁忌) one."),
        ("これ。\n```sh\nls\n\ncd x\n```\nThis.", "これ。\n\n```sh\nls\n\ncd x\n```",
         "```sh\nls\n\ncd x\n```\n\nThis."),
        ("A note of one's own.", "A note of one's own.", "A note of one's own."),
        ("これ。\n\n![a plan](plan.png)\n\nThis.", "これ。\n\n![a plan](plan.png)",
         "![a plan](plan.png)\n\nThis."),
        ("これ。\n\n`code`\n\n```\nnot closed", "これ。\n\n`code`\n\n```\nnot closed",
         "これ。\n\n`code`\n\n```\nnot closed"),
    ],
)  # fmt: skip
def test_a_cell_keeps_what_is_in_its_language_or_in_none(markdown, ja, en):
    assert in_language(markdown, "ja") == ja
    assert in_language(markdown, "en") == en


def test_the_language_is_that_of_the_parameters_where_papermill_says_none(tmp_path):
    cell = new_code_cell(
        'lang = "en"  # of this page', metadata={"tags": ["parameters"]}
    )
    said = new_code_cell("1", outputs=[new_output("stream", text="1")])
    page = render_notebook(notebook(tmp_path / "run.ipynb", cell, said)).read_text()
    assert '<html lang="en">' in page


def test_a_page_is_never_in_another_language_than_its_outputs(tmp_path):
    title = new_markdown_cell("# 題 · Title")
    told = notebook(tmp_path / "run.ipynb", title, lang="ja")
    page = render_notebook(told, lang="en").read_text("utf-8")
    assert '<html lang="ja">' in page and "Title</h1>" not in page


def test_the_contents_list_headings_of_words_and_of_outputs(tmp_path):
    cells = [
        new_markdown_cell("# 題 · Title\n\n## 一 · One"),
        displayed("<h3>Same</h3><h4>deeper</h4>"),
        new_markdown_cell("## 二 · Two & `three`"),
        displayed("<h3>Same</h3><h2>a &lt;b&gt;</h2>"),
    ]
    path = notebook(tmp_path / "run.ipynb", *cells, lang="en")
    page = render_notebook(path).read_text("utf-8")
    column = page.partition('<div class="column">')[2].partition("</nav>")[0]
    links = re.findall(r'<a href="#([^"]*)">(.*?)</a>', column)
    assert [words for _, words in links] == [
        "One", "Same", "Two &amp; three", "Same", "a &lt;b&gt;",
    ]  # fmt: skip
    ids = {given["id"] for _, given in Elements(page).found if "id" in given}
    assert all(unquote(anchor) in ids for anchor, _ in links)
    assert links[1][0] == "Same" and links[3][0] == "Same-2"
    assert unquote(links[0][0]) == "一-·-One"  # the same in every language
    assert column.count("<ul>") == 3  # each h3 inside its h2


def test_a_page_without_sections_has_no_contents():
    assert "<nav" not in page_of("t", "<h1>t</h1><h2>only</h2>", "en")


# --- what notebooks put out -----------------------------------------------------------


def test_a_picture_carries_its_text(tmp_path):
    run = sitting(tmp_path / "run", ["a"] * 5, completion_tokens=30)
    data, about = view.token_figure(run)._repr_mimebundle_()
    cell = new_code_cell("", outputs=[new_output("display_data", data, metadata=about)])
    page = render_notebook(notebook(tmp_path / "run.ipynb", cell)).read_text()
    (image,) = Elements(page).of("img")
    assert image["src"].startswith("data:image/png")
    assert "unparsable 5" in image["alt"]


def test_a_progress_bar_is_one_line(tmp_path):
    bar = [new_output("stream", name="stdout", text=f"\r{i}/3") for i in range(1, 4)]
    page = render_notebook(
        notebook(tmp_path / "run.ipynb", new_code_cell("ask()", outputs=bar))
    ).read_text()
    assert "3/3" in page
    assert "1/3" not in page


def test_an_error_in_a_notebook_is_readable_without_its_colours(tmp_path):
    trouble = new_output(
        "error", ename="E", evalue="v", traceback=["\x1b[31mE\x1b[39m: <script>"]
    )
    page = render_notebook(
        notebook(tmp_path / "run.ipynb", new_code_cell("1/0", outputs=[trouble]))
    ).read_text()
    assert "\x1b" not in page
    assert not Elements(page).of("script")


def test_render_makes_every_page_and_an_index(tmp_path):
    sitting(tmp_path / "a run", ["x"] * 2, label="<b>Emm</b>")
    notebook(tmp_path / "a run" / "run.ipynb", new_markdown_cell("# run"))
    notebook(tmp_path / "analysis.ipynb", new_markdown_cell("# all"), lang="en")
    pages = render(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in pages] == [
        "a run/run.html", "analysis.html", "index.html",
    ]  # fmt: skip
    index = pages[-1].read_text()
    links = [given["href"] for given in Elements(index).of("a")]
    assert links == ["analysis.html", "a%20run/run.html"]
    assert "All models side by side" in index
    assert "2026-02-07" in index
    assert "OK" in index
    assert "&lt;b&gt;Emm" in index
    assert '<html lang="en">' in index


def test_the_index_says_how_many_were_right_and_blank_and_which_have_no_page(tmp_path):
    sitting(tmp_path / "read", ["x", "", ""], "empty")
    for name in ("report", "sweep-night", "notes"):
        (tmp_path / f"{name}.html").write_text("")
    index = write_index(tmp_path, "en").read_text()
    assert "0.0% (0/3)" in index and "66.7% (2/3)" in index
    assert "no page" in index and "The comparison as a document" in index
    assert "Sweep night" in index and ">notes</a>" in index
    japanese = write_index(tmp_path, "ja").read_text("utf-8")
    assert "ページなし" in japanese and "スイープ night" in japanese


def test_an_empty_folder_has_an_index_that_says_so(tmp_path):
    (page,) = render(tmp_path)
    assert "まだ実行がありません" in page.read_text()


def test_what_cannot_be_rendered_is_one_sentence(tmp_path):
    with pytest.raises(IgakuError, match="nowhere"):
        render(tmp_path / "nowhere")
    with pytest.raises(IgakuError, match="There is no notebook"):
        render_notebook(tmp_path / "run.ipynb")
    (tmp_path / "run.ipynb").write_text("{")
    with pytest.raises(IgakuError, match="execute it again"):
        render_notebook(tmp_path / "run.ipynb")
    with pytest.raises(IgakuError, match="'ja' or 'en'"):
        shown.say("fr", "", "")


@pytest.mark.filterwarnings("error::UserWarning")  # a missing glyph is one
@pytest.mark.parametrize("lang", ["ja", "en"])
def test_figures_have_every_glyph(tmp_path, lang):
    runs = [
        sitting(
            tmp_path / f"run{i}", ["医"] * 8, outcome, f"模型 −{i}", completion_tokens=9
        )
        for i, outcome in enumerate(plots.OUTCOMES)
    ]
    for run in runs:
        view.token_figure(run, lang)
    picture = models.accuracy_figure(study_of(runs, lang=lang))
    assert picture.png.startswith(b"\x89PNG")
    assert "模型 −0" in picture.alt


def test_a_model_keeps_its_colour_and_no_two_share_one(tmp_path):
    runs = [sitting(tmp_path / f"run{i}", ["a"]) for i in range(4)]
    runs[2].manifest["card"] |= {"color": plots.COLOURS[0], "marker": "s"}
    found = plots.styles(runs)
    assert found[2] == (plots.COLOURS[0], "s")
    assert len(set(found)) == 4


def test_nothing_to_show_is_a_sentence():
    empty = study_of([], lang="en")
    assert "run.ipynb" in models.overview(empty).text
    assert "igaku import" in models.audits(empty).text
    for piece in (models.causes, models.models, models.accuracy_figure):
        assert piece(empty).text == ""


def test_one_run_is_compared_with_nothing(tmp_path):
    study = study_of([sitting(tmp_path / "r", ["a"])], lang="en")
    assert "one run only" in models.overview(study).text


def test_lab_numbers_speak_of_the_tiny_model(tmp_path):
    run = sitting(tmp_path / "r", ["a"])
    run.manifest["origin"] = "lab"
    study = study_of([run], lang="en")
    for piece in (models.overview(study), view.result(run, "en")):
        assert "tiny model" in piece.text


def test_missing_values_are_dashes():
    table = shown.table(["a", "b"], [("x", None), ("y", pd.NA), ("z", float("nan"))])
    assert table.text.splitlines()[1:] == ["x | –", "y | –", "z | –"]


# --- which weights answered -----------------------------------------------------------

IDENTITY = {
    "status": "wrong_model",
    "source": "/api/v1/models",
    "why": "The server has other weights.",
    "checks": [
        {"what": "format", "card": "GGUF", "server": "gguf", "agrees": True},
        {"what": "size", "card": 22260000000, "server": 12110000000, "agrees": False},
        {"what": "variant", "card": "8bit", "server": None, "agrees": None},
    ],
}
EFFORT = {
    "asked": "low", "contrast": "high", "told_by": "system", "shown": True,
    "default": "medium",
    "trials": [
        {"problem_id": "900A1", "told_by": "system", "asked_tokens": 40,
         "contrast_tokens": None}
    ],
}  # fmt: skip


@pytest.fixture
def proven(tmp_path):
    """Runs of every standing, as an index lists them, and one that never began."""
    sit(
        tmp_path,
        [True],
        "other",
        identity=IDENTITY,
        effort=EFFORT,
        sampling={"sent": {"top_k": 0}, "otherwise": {"min_p": 0.05}, "source": "doc"},
    )
    sit(tmp_path, [False], "mute")
    sit(tmp_path, [True], "sure", identity={"status": "verified", "source": "/props"})
    (tmp_path / "gone").mkdir()
    job = {"state": "failed", "model": "m-8bit", "why": "It is <not> there."}
    (tmp_path / "gone/job.json").write_text(json.dumps(job))
    return tmp_path


def test_a_runs_page_holds_the_card_against_the_servers_word(proven):
    shown = view.environment(load_run(proven / "other"), "en").text
    assert "format | GGUF | gguf | agrees" in shown
    assert "size | 22.26 GB | 12.11 GB | differs" in shown
    assert "variant | 8bit | – | cannot be told" in shown
    assert "low, the system prompt, effect shown" in shown
    assert "900A1 [system] low 40 / high –" in shown
    assert "The server's own effort | medium" in shown
    assert "top_k 0" in shown and "min_p 0.05 (doc)" in shown


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("other", "‡ Weights other than the requested ones answered."),
        ("mute", "† No word of the server's own"),
        ("sure", "Weights verified by /props."),
    ],
)
def test_a_result_says_what_is_known_of_its_weights(proven, name, told):
    assert told in view.result(load_run(proven / name), "en").text


def test_the_index_marks_weights_and_lists_what_never_began(proven):
    page = write_index(proven, "en").read_text(encoding="utf-8")
    assert "<td>other ‡</td>" in page and "<td>sure</td>" in page
    assert "verified (/props)" in page and "† No word" in page and "‡ Weights" in page
    assert "not measured: It is &lt;not&gt; there." in page and "m-8bit" in page


def test_a_table_explains_its_marks_in_its_language_or_in_both():
    rows = [["a †", 1]]
    assert "サーバー" in shown.table(["", "n"], rows, lang="ja").markdown
    assert "サーバー" not in shown.table(["", "n"], rows, lang="en").text
    both = shown.table(["", "n"], rows).html
    assert "サーバー" in both and "No word of the server" in both
    assert "†" not in shown.table(["", "n"], [["a", 1]]).text
