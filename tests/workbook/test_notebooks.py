import re
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from papermill.exceptions import PapermillExecutionError
from stand_in import Answer, StandIn, cut

from igaku.pages.html import render
from igaku.params.settings import FIELDS
from igaku.study.runs import load_runs

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HOSTILE = "<script>alert(1)</script> $x$ <img src=x onerror=alert(1)>"
LIMIT = 12


# --- as they are committed ------------------------------------------------------------


def code(notebook):
    return [c for c in nbformat.read(notebook, 4).cells if c.cell_type == "code"]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


each_notebook = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in NOTEBOOKS]
)


def test_the_notebooks_are_here():
    assert {"run", "analysis"} <= {path.stem for path in NOTEBOOKS}


@each_notebook
def test_a_notebook_is_committed_without_what_came_out_of_it(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert all(not c.outputs and c.execution_count is None for c in code(path))
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert all(set(c.metadata) <= {"tags"} for c in notebook.cells)
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)


@each_notebook
def test_parameters_are_the_first_code_cell_and_the_only_one(path):
    tagged = ["parameters" in c.metadata.get("tags", []) for c in code(path)]
    assert tagged == [True] + [False] * (len(tagged) - 1)
    first, *assignments = lines(code(path)[0])
    # papermill writes exactly "# Parameters" above what it injects.
    assert re.fullmatch(r"# Parameters .+", first)
    for line in assignments:
        assert re.fullmatch(r"[a-z_]+ = [^=|]+  # [^=|]+", line), line


@each_notebook
def test_every_parameter_is_explained_by_help_notebook(path):
    seen = papermill.inspect_notebook(path)
    written = [line.split(" ")[0] for line in lines(code(path)[0])[1:]]
    assert list(seen) == written
    assert all(parameter["help"] for parameter in seen.values())


def test_the_parameters_of_a_run_are_its_settings():
    seen = papermill.inspect_notebook(ROOT / "notebooks/run.ipynb")
    assert list(seen) == [*FIELDS, "lang"]


def test_every_key_of_a_models_file_is_a_parameter():
    seen = papermill.inspect_notebook(ROOT / "notebooks/run.ipynb")
    params = ROOT / "params"
    for path in [*params.glob("*.yaml"), *params.glob("lab/*.yaml")]:
        assert set(yaml.safe_load(path.read_text())) <= set(seen), path.name


@each_notebook
def test_a_notebook_calls_and_defines_nothing(path):
    source = "\n".join(c.source for c in code(path))
    assert not re.search(r"^\s*(def|class|async|%|!)|lambda", source, re.M)
    imported = re.findall(r"^\s*(?:import|from) (\w+)", source, re.M)
    assert set(imported) == {"igaku"}
    assert not re.search(r"[\"'](/|~|\.\./|[A-Z]:\\)", source)


@each_notebook
def test_cells_are_short(path):
    parameters, *rest = code(path)
    assert len(rest) < 12 or path.stem == "analysis"
    assert max(map(len, parameters.source.splitlines())) <= 88  # one line for each
    for cell in rest:
        assert len([x for x in lines(cell) if not x.startswith("#")]) <= 25
        assert max(map(len, cell.source.splitlines())) <= 88


@pytest.mark.parametrize("name", ["run", "analysis", "mechanism"])
def test_no_number_is_typed_into_prose(name):
    path = ROOT / f"notebooks/{name}.ipynb"
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
            assert not re.search(r"\d", prose), prose


each_page = pytest.mark.parametrize("name", ["analysis", "mechanism"])
HIRAGANA = re.compile("[ぁ-ん]")


def prose(cell):
    """The blocks of a cell's text below its heading, code left out."""
    text = re.sub(r"```.*?```", "", cell.source, flags=re.S)
    return [b for b in re.split(r"\n\s*\n", text) if b.strip() and b[0] != "#"]


@each_page
def test_a_section_is_a_question_and_a_call(name):
    cells = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4).cells
    sections = [i for i, c in enumerate(cells) if c.source.startswith("## ")]
    assert len(sections) >= 6
    for i in sections:
        heading = cells[i].source.splitlines()[0]
        japanese, english = re.fullmatch(r"## (.+) · (.+)", heading).groups()
        assert re.search("か(（.+）)?$", japanese) and english.endswith("?"), heading
        assert cells[i + 1].cell_type == "code"


@each_notebook
def test_prose_says_the_same_in_both_languages(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            japanese = [bool(HIRAGANA.search(block)) for block in prose(cell)]
            # A page of one language leaves out the blocks of the other.
            assert 2 * sum(japanese) == len(japanese) > 0, cell.source
            assert japanese[0] and not japanese[-1], cell.source


TERMS = {
    "analysis": {
        "何が分かったか ": ("†", "‡", "unverified", "verified", "Holm", "非劣性",
                            "マージン", "Non-inferior", "margin", "失った返答",
                            "Lost replies"),
        "先に知るべき": ("effort", "Effort", "⚠"),
        "どのモデルが": ("Wilson", "空回答", "blank reply"),
        "返答はどうなったか": ("上限", "budget"),
        "合格線に届くか": ("必修", "禁忌", "compulsory", "prohibited"),
        "何を何と比べるか": ("族", "family", "Cochran"),
        "何問が入れ替わったか": ("入れ替わり", "flip", "不一致対", "discordant pair",
                                 "McNemar", "mid-p", "Mid-p"),
        "この問題数で": ("検出力", "Power"),
        "返答はどれだけ長いか": ("打ち切り", "censored", "Kaplan–Meier"),
    },
    "mechanism": {
        "何が分かったか ": ("上限", "budget", "空白", "blank", "effort", "ルーター",
                            "router"),
        "六つのレシピ": ("MXFP4", "アフィン", "Affine", "Q8"),
        "どの部位が": ("Tango", "ブートストラップ", "bootstrap"),
    },
}  # fmt: skip


@each_page
def test_terms_are_explained_where_they_first_stand(name):
    cells = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4).cells
    for start, terms in TERMS[name].items():
        (cell,) = [c for c in cells if c.source.startswith(f"## {start}")]
        assert all(term in cell.source for term in terms), start


def test_what_was_found_stands_before_everything_else():
    for name in ("analysis", "mechanism"):
        cells = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4).cells
        first = next(c for c in cells if c.source.startswith("## "))
        assert first.source.startswith("## 何が分かったか · ")
        assert "findings_table(" in cells[cells.index(first) + 1].source


@each_page
def test_there_are_about_ten_words_to_a_line_of_code(name):
    cells = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4).cells
    texts = [b for c in cells if c.cell_type == "markdown" for b in prose(c)]
    words = sum(len(b.split()) for b in texts if not HIRAGANA.search(b))
    rows = [c for c in cells if c.cell_type == "code" and not c.metadata.get("tags")]
    assert 8 <= words / sum(len(lines(c)) for c in rows) <= 30


# --- as they are executed -------------------------------------------------------------


def behave(asked, number):
    """Right and wrong, hostile, and cut by the budget, in turn."""
    text = ["答え: a", "答え: b", HOSTILE, "答え: c", "", "答え: a"][(number - 1) % 6]
    return Answer(text, HOSTILE, completion_tokens=20 + number) if text else cut(asked)


@pytest.fixture(scope="module")
def server():
    with StandIn(behave) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def execute(server, tmp_path_factory):
    """Execute a notebook through papermill; its outputs are in the folder given."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(ROOT))
    patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))

    def _execute(name, output, cwd=ROOT, **parameters):
        output.parent.mkdir(parents=True, exist_ok=True)
        if name == "run":
            given = {"model": "stand-in", "exam": "calibration"}
            parameters = (
                given
                | {"base_url": server.base_url, "shots": 0, "limit": LIMIT}
                | parameters
            )
        return papermill.execute_notebook(
            ROOT / f"notebooks/{name}.ipynb",
            output,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            cwd=cwd,
        )

    yield _execute
    patch.undo()


@pytest.fixture(scope="module")
def outputs(execute, tmp_path_factory):
    """Two runs, one from the checkout and one as JupyterLab starts it."""
    folder = tmp_path_factory.mktemp("outputs")
    for name, cwd, lang in (("one", ROOT, "ja"), ("two", ROOT / "notebooks", "en")):
        where = {
            "run": name,
            "outputs_dir": str(folder),
            "lang": lang,
            "max_tokens": 99,
        }
        execute("run", folder / name / "run.ipynb", cwd, **where)
    return folder


def shown(notebook):
    """Everything a notebook shows, as HTML where it has it."""
    texts = []
    for cell in code(notebook):
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            texts.append("".join(data.get("text/html", data["text/plain"])))
    return "\n".join(texts)


def test_every_reply_is_kept(outputs):
    rows = load_runs(outputs)
    assert rows.groupby("run").size().to_dict() == {"one": LIMIT, "two": LIMIT}
    assert not rows.duplicated(["run", "problem_id"]).any()
    assert set(rows["outcome"]) == {"answered", "unparsable", "truncated"}
    assert rows["gold"].notna().all()


def test_the_page_of_a_run_shows_what_a_reader_needs(outputs):
    page = shown(outputs / "one" / "run.ipynb")
    for part in (
        "正答数",
        "正答率",
        "空回答",
        "APIエラー",
        "max_tokens = 99",
        "sha256",
    ):
        assert part in page, part
    assert f"{LIMIT}/{LIMIT}" in page  # the bar's last word
    assert "正答率" not in shown(outputs / "two" / "run.ipynb")
    assert "Blank replies" in shown(outputs / "two" / "run.ipynb")


def test_replies_in_a_notebook_do_nothing(outputs):
    page = shown(outputs / "one" / "run.ipynb")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$" in page
    assert not re.search(r"<script|<img", page)
    pages = render(outputs)
    assert len(pages) == 3
    assert not any(re.search(r"<script|<img src=x", page.read_text()) for page in pages)


def test_a_finished_run_is_not_asked_again(outputs, execute, server):
    before = len(server.asked)
    where = {"run": "one", "outputs_dir": str(outputs), "max_tokens": 99}
    execute("run", outputs / "again.ipynb", **where)
    assert len(server.asked) == before
    assert "終わっています" in shown(outputs / "again.ipynb")


@pytest.mark.parametrize(
    ("slip", "said"),
    [({"limt": 3}, "did you mean limit"), ({"limit": "3"}, "limit is '3'")],
)
def test_a_slip_in_a_parameter_is_an_error(execute, server, tmp_path, slip, said):
    before = len(server.asked)
    with pytest.raises(PapermillExecutionError, match=said):
        execute("run", tmp_path / "run.ipynb", outputs_dir=str(tmp_path), **slip)
    assert len(server.asked) == before


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_analysis_of_two_runs(outputs, execute, tmp_path, lang):
    path = tmp_path / "analysis.ipynb"
    execute("analysis", path, outputs_dir=str(outputs), lang=lang)
    page = shown(path)
    assert "stand-in (one)" in page
    assert "stand-in (two)" in page
    assert ("Accuracy" in page) == (lang == "en")
    pictures = [
        o for c in code(path) for o in c.outputs if "image/png" in o.get("data", {})
    ]
    assert all(o["metadata"]["image/png"]["alt"] for o in pictures)
    assert len(pictures) >= 8
    report = (outputs / "report.html").read_text("utf-8")
    assert "stand-in (one)" in report and "<script" not in report


def test_the_analysis_of_an_empty_folder_says_so(execute, tmp_path):
    path = tmp_path / "analysis.ipynb"
    execute("analysis", path, outputs_dir=str(tmp_path), lang="en")
    assert "There are no runs yet" in shown(path)
