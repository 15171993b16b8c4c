"""The index of a folder: every run by its score, and the pages beside it."""

import json
import re

import nbformat
import pytest
from nbformat.notebooknode import from_dict
from nbformat.v4 import new_code_cell, new_notebook
from no_files import NO_FILES
from runs import planned, replied, sit

import igaku
from igaku.pages.index import write_index
from igaku.pages.notebooks import render

WRONG = {
    "status": "wrong_model", "source": "/api/v1/models",
    "why": "The server has other weights.", "checks": [],
}  # fmt: skip


def cut(question):
    return replied(question, outcome="empty", correct=False, answer=None, content="")


@pytest.fixture
def folder(tmp_path):
    """Runs of every standing, and one that never began."""
    asked = planned(40)
    sit(tmp_path, [i < 30 for i in range(40)], "best", asked, identity=WRONG)
    sit(tmp_path, [i < 20 for i in range(40)], "mute", asked)
    sure = {"status": "verified", "source": "/props"}
    sit(tmp_path, None, "sure", asked, rows=[cut(q) for q in asked], identity=sure)
    (tmp_path / "gone").mkdir()
    job = {"state": "failed", "model": "m-8bit", "why": "It is <not> there."}
    (tmp_path / "gone/job.json").write_text(json.dumps(job))
    return tmp_path


def rows_of(page):
    rows = re.findall(r"<tr>(.*?)</tr>", page.partition("<tbody>")[2], re.S)
    return [re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", row)).strip() for row in rows]


def test_runs_stand_by_score_with_status_loss_and_weights(folder):
    page = write_index(folder).read_text("utf-8")
    best, mute, sure = rows_of(page)
    assert best.startswith("best ‡ best 75.0% complete 0 other weights 30/40")
    assert mute.startswith("mute † mute 50.0% complete 0 not verified 20/40")
    assert sure.startswith("sure sure 0.0% BROKEN 40 verified (/props) 0/40")
    told = "<p><b>m-8bit</b> (gone): not measured: It is &lt;not&gt; there.</p>"
    assert told in page.partition("</table>")[2]
    assert "2026-02-07" in best and "2022" in best and "measured" in best


def test_a_score_before_a_stop_is_called_what_it_is(tmp_path):
    """Only where the losses left questions unasked: a share of all needs no word."""
    lost = [replied(q, False, outcome="truncated") for q in planned(10)]
    stopped = {"status": "BROKEN", "cause": "budget"}
    sit(tmp_path, None, "cut", planned(40), rows=lost, **stopped)
    whole = [replied(q, False, outcome="truncated") for q in planned(40)]
    sit(tmp_path, None, "whole", planned(40), rows=whole, **stopped)
    sit(tmp_path, [True] * 10, "begun", planned(40))
    found = igaku.runs(tmp_path).set_index("run")["conditional"]
    assert found.to_dict() == {"cut": True, "whole": False, "begun": False}
    rows = rows_of(write_index(tmp_path).read_text("utf-8"))
    assert sum("at its stop" in row for row in rows) == 1
    japanese = rows_of(write_index(tmp_path, "ja").read_text("utf-8"))
    assert sum("打ち切り時点の値" in row for row in japanese) == 1


def test_the_headline_says_the_exam_the_best_and_the_losses(folder):
    told = write_index(folder).read_text("utf-8")
    assert "IgakuQA 2022 (national exam 116): 3 runs, the highest best ‡" in told
    assert "30/40 (75.0%)" in told and "Runs that lost replies: 1 of 3" in told
    japanese = write_index(folder, "ja").read_text("utf-8")
    assert "第116回" in japanese and "3件" in japanese and "実行は1件" in japanese


def test_marks_are_explained_in_the_language_of_the_page(folder):
    page = write_index(folder).read_text("utf-8")
    assert page.count("† The server did not report") == 1 and "‡ Weights" in page
    japanese = write_index(folder, "ja").read_text("utf-8")
    assert "† どの量子化版" in japanese and "未測定" in japanese and "破綻" in japanese


def test_the_pages_beside_it_are_named_by_what_differs(folder):
    for name in ("report", "analysis", "analysis.ja", "sweep-night", "notes"):
        (folder / f"{name}.html").write_text("")
    page = write_index(folder).read_text("utf-8")
    for words in ("as a document", "for citing", "step by step", "(Japanese)",
                  "Sweep night", ">notes</a>"):  # fmt: skip
        assert words in page
    assert "スイープ night" in write_index(folder, "ja").read_text("utf-8")


def test_exams_are_not_ranked_with_each_other(tmp_path):
    sit(tmp_path, [i < 5 for i in range(20)], "nation")
    tiny = {"exam": "calibration", "base_url": "lab"}
    sit(tmp_path, [True] * 20, "tiny", settings=tiny, origin="lab")
    page = write_index(tmp_path).read_text("utf-8")
    assert [row.split()[0] for row in rows_of(page)] == ["nation", "tiny"]
    assert "speak of the embedded tiny model" in page


def test_an_empty_folder_has_an_index_that_says_so(tmp_path):
    (page,) = render(tmp_path)
    assert "There are no runs yet" in page.read_text()


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("put", NO_FILES)
def test_what_is_no_file_is_told_of_and_the_pages_are_made(folder, put):
    for name in ("mute/answers.jsonl", "sure/run.ipynb", "other.ipynb"):
        (folder / name).unlink(missing_ok=True)
        put(folder / name)
    with pytest.warns(UserWarning, match=r"sure/run.ipynb is a \w+ where a file bel"):
        pages = render(folder)
    page = pages[-1].read_text("utf-8")
    assert "<b>mute</b>: not readable: mute/answers.jsonl is a" in page
    assert len(told := rows_of(page)) == 2 and "best" in told[0]


def test_a_notebook_that_failed_is_named_and_its_run_listed(tmp_path):
    """One without a manifest is passed over as an example only while it is whole."""
    told = {"output_type": "error", "ename": "IgakuError", "traceback": []}
    told["evalue"] = "There is no parameter modle:\x1b did you mean <model>?"
    for name, outputs in (("typo", [told]), ("example", [])):
        cell = new_code_cell("", outputs=[from_dict(each) for each in outputs])
        (tmp_path / name).mkdir()
        nbformat.write(new_notebook(cells=[cell]), tmp_path / name / "run.ipynb")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/run.ipynb").write_text('{"cells": [{"outputs": [7]}]}')
    named = r"typo/run.ipynb ended in an error: .* did you mean <model>\?"
    with pytest.warns(UserWarning, match=named):
        index = render(tmp_path)[-1]
    why = "not measured: There is no parameter modle:␛ did you mean &lt;model&gt;?"
    assert f"<b>typo</b> (typo): {why}</p>" in index.read_text("utf-8")
