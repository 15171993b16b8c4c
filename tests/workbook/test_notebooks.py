"""The notebooks as they are committed, and as papermill executes them."""

import ast
import itertools
import re
import shutil
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import matplotlib.pyplot
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import yaml
from papermill.exceptions import PapermillExecutionError
from runs import planned, replied, sit
from stand_in import Answer, StandIn, cut
from starting import PYTHONPATH

import igaku
from igaku.params.settings import FIELDS, Settings, settings_from
from igaku.study import runs as results

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ("run", "analysis", "mechanism", "explore")
HOSTILE = "<script>alert(1)</script> $x$ <img src=x onerror=alert(1)>"
LIMIT = 12
JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")


# --- as they are committed ------------------------------------------------------------


def cells(path, kind="code"):
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == kind]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


each_notebook = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in NOTEBOOKS]
)
each_name = pytest.mark.parametrize("name", NAMES)


def test_every_notebook_is_here_in_both_languages():
    told = {f"{name}{ending}" for name in NAMES for ending in (".ipynb", ".ja.ipynb")}
    assert {path.name for path in NOTEBOOKS} == told


@each_notebook
def test_a_notebook_is_committed_without_what_came_out_of_it(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert all(not c.outputs and c.execution_count is None for c in cells(path))
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert all(set(c.metadata) <= {"tags"} for c in notebook.cells)
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)


@each_notebook
def test_parameters_are_the_first_code_cell_and_the_only_one(path):
    tagged = ["parameters" in c.metadata.get("tags", []) for c in cells(path)]
    assert tagged == [True] + [False] * (len(tagged) - 1)
    first, *assignments = lines(cells(path)[0])
    # papermill writes exactly "# Parameters" above what it injects.
    assert re.fullmatch(r"# Parameters .+", first)
    for line in assignments:
        assert re.fullmatch(r"[a-z_]+: [a-z]+ = [^=|]+  # [^=|]+", line), line


@each_notebook
def test_every_parameter_is_explained_by_help_notebook(path):
    seen = papermill.inspect_notebook(path)
    written = [line.split(":")[0] for line in lines(cells(path)[0])[1:]]
    assert list(seen) == written
    for told in seen.values():
        kind, default = told["inferred_type_name"], ast.literal_eval(told["default"])
        assert default is None or type(default).__name__ == kind
        assert told["help"] and (default is not None or "; else " in told["help"])


@pytest.mark.parametrize("name", ["run", "run.ja"])
def test_help_notebook_has_the_types_and_defaults_of_the_settings(name):
    seen = papermill.inspect_notebook(ROOT / f"notebooks/{name}.ipynb")
    assert list(seen) == [*FIELDS, "lang"]
    hints, own = get_type_hints(Settings), Settings(model="m").to_dict()
    made = {"slug", "run", *(name for name in FIELDS if own[name] in (None, {}))}
    for name in FIELDS[1:]:
        kinds = [get_origin(k) or k for k in get_args(hints[name]) or [hints[name]]]
        kinds = {"dict"} if get_origin(hints[name]) is dict else {
            "str" if kind is Path else kind.__name__ for kind in kinds
        }  # fmt: skip
        assert seen[name]["inferred_type_name"] in kinds, name
        last = seen[name]["help"].rpartition("; else ")[2]
        where = igaku.paths.ROOT / last if name == "outputs_dir" else last
        assert name in made or str(where) == str(own[name]), name


def test_the_margin_of_an_analysis_is_the_one_that_stands_there(tmp_path):
    seen = papermill.inspect_notebook(ROOT / "notebooks/analysis.ipynb")
    told = float(seen["margin"]["help"].rpartition("; else ")[2])
    assert igaku.study.open_study(tmp_path).margin == told


def test_every_key_of_a_models_file_is_a_parameter():
    seen = papermill.inspect_notebook(ROOT / "notebooks/run.ipynb")
    params = ROOT / "params"
    for path in [*params.glob("*.yaml"), *params.glob("lab/*.yaml")]:
        assert set(yaml.safe_load(path.read_text())) <= set(seen), path.name


@each_name
def test_both_languages_hold_the_same_code_but_for_one_line(name):
    english, japanese = (
        [c.source for c in cells(ROOT / f"notebooks/{name}{ending}.ipynb")]
        for ending in ("", ".ja")
    )
    line = 'lang: str = "en"'
    assert english[0].count(line) == 1
    first = english[0].replace(line, 'lang: str = "ja"')
    assert [first, *english[1:]] == japanese
    texts = [
        len(cells(ROOT / f"notebooks/{name}{ending}.ipynb", "markdown"))
        for ending in ("", ".ja")
    ]
    assert texts[0] == texts[1]


@each_notebook
def test_a_notebook_is_in_one_language(path):
    for cell in cells(path, "markdown"):
        prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
        assert bool(JAPANESE.search(prose)) == path.stem.endswith(".ja"), prose


@each_notebook
def test_no_number_is_typed_into_prose(path):
    for cell in cells(path, "markdown"):
        # The level of an interval is a convention; a result is computed.
        prose = re.sub(r"```.*?```|`[^`]*`|95%", "", cell.source, flags=re.S)
        assert not re.search(r"\d", prose), prose


@each_notebook
def test_no_run_and_no_place_is_typed_into_code(path):
    source = "\n".join(c.source for c in cells(path)[1:])
    assert not re.search(r"[\"'](/|~|\.\./|[A-Z]:\\)", source)
    slugs = [file.stem for file in (ROOT / "params").glob("*.yaml")]
    assert not any(slug in source for slug in slugs)


TERMS = {
    "analysis": (
        "budget", "Wilson", "prohibited", "McNemar", "mid-p", "Tango", "margin",
        "family", "Holm", "Cochran", "Power", "flip", "censored", "Kaplan–Meier",
    ),
    "analysis.ja": (
        "上限", "Wilson", "禁忌", "McNemar", "mid-p", "Tango", "マージン", "解析",
        "Holm", "Cochran", "検出力", "入れ替わり", "打ち切り", "Kaplan–Meier",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TERMS)
def test_terms_are_explained_in_the_prose(name):
    prose = "\n".join(
        c.source for c in cells(ROOT / f"notebooks/{name}.ipynb", "markdown")
    )
    assert [term for term in TERMS[name] if term not in prose] == []


LIBRARIES = {"pd", "sns", "plt"}
STATISTICS = {"mcnemar", "noninferiority", "paired_difference", "proportion"}
METHODS = {
    *("groupby", "pivot", "pivot_table", "merge", "assign", "agg", "query", "unstack"),
    *("describe", "sort_values", "astype", "set", "dropna", "round", "to_csv", "apply"),
}


def test_the_analysis_is_done_with_the_libraries_in_view():
    path = ROOT / "notebooks/analysis.ipynb"
    source = "\n".join(c.source for c in cells(path)).replace(";", "")
    calls = [n.func for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    names = [f.id for f in calls if isinstance(f, ast.Name)]
    attributes = [f for f in calls if isinstance(f, ast.Attribute)]
    own = [f for f in attributes if getattr(f.value, "id", "") in LIBRARIES]
    methods = [f for f in attributes if f.attr in METHODS]
    assert len({id(f) for f in own + methods}) >= 30
    assert set(names) >= STATISTICS


# --- by hand, and by the package ------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(shared, tmp_path_factory):
    """The answers recorded of the six variants, imported."""
    folder = tmp_path_factory.mktemp("recorded")
    from igaku.study.recorded import import_folder

    import_folder([shared / "data/recorded"], folder, data_dir=shared / "data/igakuqa")
    return folder


def cell_with(words):
    """The code of the analysis' one cell that holds these words."""
    every = [c.source for c in cells(ROOT / "notebooks/analysis.ipynb")]
    (found,) = [source for source in every if words in source]
    return found


@pytest.fixture(scope="module")
def by_hand(recorded):
    """The names that the notebook has when its cells up to the scores were run."""
    known = {"In": [], "display": lambda shown: None, "print": lambda *told: None}
    every = [c.source for c in cells(ROOT / "notebooks/analysis.ipynb")]
    last = every.index(cell_with("a, b ="))
    exec(every[0], known)
    known["outputs_dir"] = recorded
    exec(every[1], known)
    for words in ("wilson =", "a, b ="):
        exec(cell_with(words), known)
    return known | {"steps": every[last + 1 : last + 4]}


def test_every_pair_is_the_same_by_hand(by_hand):
    pairs = by_hand["pairs"]
    assert len(pairs) == 21
    for pair in pairs.itertuples():
        exec("", known := dict(by_hand) | {"a": pair.reference, "b": pair.candidate})
        for step in by_hand["steps"]:
            exec(step, known)
        hand, packaged = known["by_hand"], known["packaged"]
        assert len(packaged) == 1
        np.testing.assert_allclose(
            hand.to_numpy(float), packaged.to_numpy(float), rtol=1e-9, atol=1e-12
        )


def test_every_score_is_the_same_by_hand(by_hand):
    scores, runs = by_hand["scores"], by_hand["runs"].set_index("run")
    columns = ["right", "asked", "accuracy", "low", "high"]
    hand = scores.loc[runs.index, columns].to_numpy(float)
    np.testing.assert_allclose(hand, runs[columns].to_numpy(float), rtol=1e-12)
    assert sorted(runs.right) == sorted([286, 284, 284, 17, 27, 262, 7])


def test_the_place_to_explore_has_the_scores_of_the_analysis(recorded, by_hand):
    """Nor does what it takes along overwrite the analysis' own table."""
    known = {"In": [], "display": lambda shown: None, "print": lambda *told: None}
    first, *others = [c.source for c in cells(ROOT / "notebooks/explore.ipynb")]
    exec(first, known)
    known["outputs_dir"], before = recorded, {*recorded.glob("*.csv")}
    for source in others:
        exec(source, known)
    matplotlib.pyplot.close("all")
    found = known["replies"].groupby("run").correct.agg(["sum", "size"])
    runs = by_hand["runs"].set_index("run").loc[found.index]
    assert found.to_numpy().tolist() == runs[["right", "asked"]].to_numpy().tolist()
    (made,) = {*recorded.glob("*.csv")} - before
    assert known["first"] in made.name and known["second"] in made.name


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
    patch.setenv("PYTHONPATH", PYTHONPATH)
    patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))

    def _execute(name, output, cwd=ROOT, **parameters):
        output.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith("run"):
            parameters = asking(server) | parameters
        return papermill.execute_notebook(
            ROOT / f"notebooks/{name}.ipynb",
            output,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            # As `igaku analyse`: of a run alone each cell is kept as it ends.
            request_save_on_cell_execute=name.startswith("run"),
            cwd=cwd,
        )

    yield _execute
    patch.undo()


@pytest.fixture(scope="module")
def outputs(server, execute, tmp_path_factory):
    """Two runs: one asked before, one in Japanese as JupyterLab starts it."""
    folder = tmp_path_factory.mktemp("outputs")
    where = {"outputs_dir": str(folder), "max_tokens": 99}
    settings = settings_from(**asking(server), run="one", **where)
    with igaku.ask.server_of(settings) as served:
        served.run_exam(igaku.ask.questions_of(settings), progress=False)
    before = len(server.asked)
    execute("run", folder / "one/run.ipynb", run="one", **where)
    assert len(server.asked) == before  # a finished run is not asked again
    there = ROOT / "notebooks"
    execute("run.ja", folder / "two/run.ipynb", there, run="two", **where)
    return folder


def performed(name, **parameters):
    """What a notebook's cells show, run one after the other in this process."""
    told = []
    known = {"In": [], "display": lambda each: told.append(as_shown(each))}
    known["print"] = lambda *words: told.append(" ".join(map(str, words)))
    first, *others = [c.source for c in cells(ROOT / f"notebooks/{name}.ipynb")]
    exec(first, known)
    known |= parameters
    for source in others:
        code = ast.parse(source)
        *_, last = code.body
        if isinstance(last, ast.Expr) and not source.rstrip().endswith(";"):
            shows = ast.Call(ast.Name("display", ast.Load()), [last.value], [])
            code.body[-1] = ast.fix_missing_locations(ast.Expr(shows))
        exec(compile(code, name, "exec"), known)
    matplotlib.pyplot.close("all")
    return told


def as_shown(value):
    """A cell's last value, as HTML where it has it; nothing for None."""
    as_html = getattr(value, "_repr_html_", None)
    return as_html() if as_html else "" if value is None else repr(value)


def asking(server):
    """The parameters that have the stand-in asked a few questions."""
    given = {"model": "stand-in", "exam": "calibration", "shots": 0, "limit": LIMIT}
    return given | {"base_url": server.base_url}


@pytest.fixture(scope="module")
def analysis(recorded, execute, tmp_path_factory):
    """The analysis of the recorded answers, executed once."""
    path = tmp_path_factory.mktemp("analysis") / "analysis.ipynb"
    execute("analysis", path, outputs_dir=str(recorded))
    return path


def htmls(path):
    """The HTML of every output that has some."""
    data = [o.get("data", {}) for c in cells(path) for o in c.outputs]
    return ["".join(each["text/html"]) for each in data if "text/html" in each]


def shown(path):
    """Everything a notebook shows, as HTML where it has it."""
    texts = []
    for cell in cells(path):
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            texts.append("".join(data.get("text/html", data["text/plain"])))
    return "\n".join(texts)


def rows_of(html):
    """The rows of a table's body."""
    return re.findall(r"<tr>.*?</tr>", html.partition("<tbody>")[2], flags=re.S)


def pictures(path):
    data = [o.get("data", {}) for c in cells(path) for o in c.outputs]
    return [each for each in data if "image/png" in each]


def test_every_reply_is_kept(outputs):
    rows = results.load_runs(outputs)
    assert rows.groupby("run").size().to_dict() == {"one": LIMIT, "two": LIMIT}
    assert not rows.duplicated(["run", "problem_id"]).any()
    assert set(rows["outcome"]) == {"answered", "unparsable", "truncated"}
    assert rows["gold"].notna().all()


def test_the_page_of_a_run_shows_what_a_reader_needs(outputs):
    page = shown(outputs / "one/run.ipynb")
    told = ("of 12 right", "95%", "replies lost", "Status OK", "75% line", "sha256")
    for part in (*told, "API errors", "tokens", "which weights answered"):
        assert part in page, part
    assert len(pictures(outputs / "one/run.ipynb")) == 1
    japanese = shown(outputs / "two/run.ipynb")
    assert f"{LIMIT}/{LIMIT}" in japanese  # the bar's last word
    for part in (
        "12問中",
        "95%区間",
        "回答が得られません",
        "状態 完了",
        "合格ライン75%",
    ):
        assert part in japanese, part
    assert "Status OK" not in japanese


def test_replies_in_a_notebook_do_nothing(outputs):
    page = shown(outputs / "one/run.ipynb")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$" in page
    assert not re.search(r"<script|<img", page)
    hostile = [html for html in htmls(outputs / "one/run.ipynb") if "$x$" in html]
    assert hostile and all("mathjax_ignore" in html for html in hostile)


def test_a_finished_run_says_so(outputs):
    assert "nothing is left to ask" in shown(outputs / "one/run.ipynb")
    assert "何も送りません" not in shown(outputs / "two/run.ipynb")


def test_a_server_that_counts_no_tokens_is_asked_to_the_end(tmp_path):
    place = {"outputs_dir": str(tmp_path), "limit": 4, "run": "uncounted"}
    with StandIn(lambda asked, number: Answer(completion_tokens=None)) as server:
        performed("run", **asking(server) | place)
    assert (tmp_path / "uncounted/answers.jsonl").read_bytes().count(b"\n") == 4


def test_a_slip_in_a_parameter_is_one_sentence(execute, server, tmp_path):
    before = len(server.asked)
    with pytest.raises(PapermillExecutionError, match="did you mean limit") as slip:
        execute("run", tmp_path / "run.ipynb", outputs_dir=str(tmp_path), limt=3)
    assert "Traceback" not in str(slip.value)
    assert len(server.asked) == before


def test_the_analysis_of_two_runs_in_japanese(outputs):
    page = "\n".join(performed("analysis.ja", outputs_dir=str(outputs)))
    assert "stand-in (one)" in page and "stand-in (two)" in page
    assert "正答率" in page and "Accuracy" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$" in page
    assert not re.search(r"<script|<img", page)
    report = (outputs / "report.html").read_text("utf-8")
    assert "stand-in (one)" in report and "<script" not in report


def test_the_analysis_reads_models_crossed_with_efforts(tmp_path):
    questions = planned(12)
    cut = {"outcome": "truncated", "answer": None, "content": "", "correct": False,
           "finish_reason": "length", "completion_tokens": 48}  # fmt: skip
    for model, effort in itertools.product(("q8", "q4"), ("low", "high")):
        lost = 9 * (effort == "high")
        own = {"completion_tokens": 20, "served_model": model}
        rows = [replied(q, **own) | (cut if i < lost else {})
                for i, q in enumerate(questions)]  # fmt: skip
        told = {"slug": model, "model": model, "max_tokens": 48}
        told |= {"reasoning_effort": effort}
        sit(tmp_path, [], f"{model}-{effort}", questions, settings=told, rows=rows)
    told = performed("analysis", outputs_dir=str(tmp_path))
    (table,) = [html for html in told if "95% from" in html and "low" in html
                and "effort" in html]  # fmt: skip
    assert "+75.0" in table
    report = (tmp_path / "report.html").read_text("utf-8")
    assert "Effort or bits? Effort" in report


@pytest.mark.filterwarnings("ignore:.*holds no runs yet")
def test_the_analysis_of_an_empty_folder_is_one_sentence(tmp_path):
    """Of an IgakuError a kernel shows the sentence alone, as of a slip above."""
    with pytest.raises(igaku.IgakuError, match="holds no runs yet"):
        performed("analysis", outputs_dir=str(tmp_path))


def test_the_analysis_shows_frames_and_figures(analysis):
    tables = [h for h in htmls(analysis) if re.search(r'class="dataframe"|id="T_', h)]
    assert len(tables) >= 15
    assert len(pictures(analysis)) >= 10


def test_the_analysis_says_what_the_package_counts(analysis, recorded):
    page = shown(analysis)
    pair = igaku.pairs(recorded).iloc[0]
    told = igaku.words.say("read_pair", "en", **pair)
    assert told in page
    assert "284 of 400 right" in page and "p = 0.795" in page
    (both,) = [html for html in htmls(analysis) if "by hand" in html]
    hand, packaged = (re.findall("<td[^>]*>(.*?)</td>", row) for row in rows_of(both))
    assert hand == packaged and "−0.5" in hand and "0.795" in hand


def test_the_analysis_leaves_tables_a_figure_and_the_document(analysis, recorded):
    flips = pd.read_csv(recorded / "flips.csv")
    assert len(flips) == 58
    assert (recorded / "flips.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert flips["gold"].isin(["b, e", "c, d"]).any()
    assert len(pd.read_csv(recorded / "pairs.csv")) == 21
    for name in ("forest.svg", "report.html", "report.md"):
        assert (recorded / name).stat().st_size > 1000


@pytest.mark.parametrize("only", [1, 3])
def test_the_analysis_of_one_run_and_of_broken_runs(only, recorded, tmp_path):
    """In this process: nothing to compare, and a follow-up that ranks with nothing."""
    if only == 1:
        names = ["openai-8bit"]
    else:
        names = ["mlx-community-mxfp4-q4", "inferenceillusionist", "safeguard-mxfp4-r"]
    for name in names:
        (run,) = recorded.glob(f"{name}*")
        shutil.copytree(run, tmp_path / run.name)
    sit(tmp_path, [True, False, None], "again", settings={"lost_of": "whichever"})
    known = {"In": [], "display": lambda shown: None}
    every = [c.source for c in cells(ROOT / "notebooks/analysis.ipynb")]
    exec(every[0], known)
    known["outputs_dir"] = tmp_path
    for source in every[1:]:
        if "document.write" not in source:
            exec(source, known)
    matplotlib.pyplot.close("all")
    assert len(known["runs"]) == only + 1
