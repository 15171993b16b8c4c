"""Effort from length: a note, on the same questions, and never from speed alone."""

import csv
import doctest
import random

import pytest
from replies import BUDGET, answer, blank, cut

import igaku
from igaku.study import efforts
from igaku.study.families import open_study, study_of
from igaku.study.timing import lengths_of

SIZES = ("gpt-oss-20b", "gpt-oss-120b")


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(efforts).failed == 0


@pytest.fixture(scope="module")
def counted(shared):
    """Tokens of real gpt-oss by model and effort: question → tokens."""
    found = {}
    text = (shared / "data/effort/exam120_tokens.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        run = found.setdefault(f"{row['model']}-{row['effort']}", {})
        run[row["question_id"]] = int(row["tokens"])
    return found


def rows_of(tokens):
    return [answer(problem_id=q, completion_tokens=n) for q, n in tokens.items()]


def ratios_of(*runs):
    return igaku.study.length_ratios(study_of(runs))


def notes_of(*runs):
    return igaku.audit(study_of(runs)).query("kind == 'other_length'")


def test_medium_of_the_real_model_is_to_low_as_one_effort_to_another(counted, run_of):
    low, medium = (
        run_of(rows_of(counted[f"gpt-oss-20b-{e}"]), e, max_tokens=None)
        for e in ("low", "medium")
    )
    (row,) = ratios_of(medium, low).to_dict("records")
    assert (row["shorter_run"], row["longer_run"], row["n"]) == ("low", "medium", 400)
    assert (row["median_shorter"], row["median_longer"]) == (70, 400.5)
    assert row["ratio"] == pytest.approx(400 / 70, rel=0.01)
    assert 4 < row["low"] < row["ratio"] < row["high"] < 8
    assert not row["is_inferred"]
    (note,) = notes_of(medium, low).to_dict("records")
    assert not note["grave"] and not note["overturns"]
    assert set(note["runs"]) == {"low", "medium"}
    assert "5.7 times" in note["text"] and "no proof" in note["text"]


def test_the_ratios_are_those_of_the_questions_that_two_runs_share(run_of):
    dealt = random.Random(3)
    runs = []
    for name in "abcd":
        asked = dealt.sample(range(60), 40)  # in another order in each
        tokens = {f"116A{n}": dealt.randint(1, 900) for n in asked}
        runs.append(run_of(rows_of(tokens), name, max_tokens=None))
    found = ratios_of(*runs).set_index(["shorter_run", "longer_run"])
    assert len(found) == 6
    by_name = {run.name: lengths_of(run) for run in runs}
    for (shorter, longer), row in found.iterrows():
        both = by_name[shorter].merge(by_name[longer], on="problem_id")
        assert row["n"] == len(both) >= 20
        medians = both[["tokens_x", "tokens_y"]].median().tolist()
        assert row[["median_shorter", "median_longer"]].tolist() == medians


@pytest.mark.parametrize("effort", ["low", "medium"])
def test_one_effort_of_two_models_is_no_note(counted, run_of, effort):
    runs = [
        run_of(rows_of(counted[f"{size}-{effort}"]), size, max_tokens=None)
        for size in SIZES
    ]
    (row,) = ratios_of(*runs).to_dict("records")
    assert row["ratio"] < 2
    assert notes_of(*runs).empty


def test_two_efforts_on_record_need_no_hint(counted, run_of):
    runs = [
        run_of(rows_of(counted[f"gpt-oss-20b-{e}"]), e, reasoning_effort=e)
        for e in ("low", "medium")
    ]
    assert ratios_of(*runs)["ratio"].item() > 2
    assert notes_of(*runs).empty


def test_a_budget_makes_the_ratio_smaller_never_larger(counted, run_of):
    low, medium = (counted[f"gpt-oss-20b-{e}"] for e in ("low", "medium"))
    short = run_of(rows_of(low), "short", max_tokens=200)
    rows = [
        answer(problem_id=q, completion_tokens=n)
        if n < 200
        else cut(problem_id=q, completion_tokens=200)
        for q, n in medium.items()
    ]
    (row,) = ratios_of(short, run_of(rows, "long", max_tokens=200)).to_dict("records")
    assert row["ratio"] == pytest.approx(200 / 70, rel=0.01)
    assert (row["median_longer"], row["max_tokens"]) == (200, 200)


# --- times ----------------------------------------------------------------------------


def test_speed_alone_tells_nothing_of_length(run_of):
    def uncounted(seconds, name):
        told = {"completion_tokens": None, "seconds": seconds}
        return run_of([answer(n, **told) for n in range(1, 41)], name)

    runs = uncounted(0.6, "fast"), uncounted(7.6, "slow")
    assert ratios_of(*runs).empty and notes_of(*runs).empty


def test_inferred_lengths_are_compared_with_inferred_ones_alone(run_of):
    def walled(seconds, name):
        told = {"completion_tokens": None, "seconds": seconds}
        rows = [answer(n, **told) for n in range(1, 41)]
        return run_of(rows + [blank(n, seconds=8.0) for n in range(41, 51)], name)

    counted = run_of([answer(n) for n in range(1, 51)], "counted")
    runs = walled(1.0, "short"), walled(4.0, "long"), counted
    (row,) = ratios_of(*runs).to_dict("records")
    assert (row["shorter_run"], row["longer_run"], row["n"]) == ("short", "long", 50)
    assert row["ratio"] == 4 and row["is_inferred"]
    assert row["median_shorter"] == BUDGET / 8
    (note,) = notes_of(*runs).to_dict("records")
    assert "inferred from timing" in note["text"]
    assert "may be shorter, or faster" in note["text"]


def test_the_recorded_runs_without_a_wall_are_in_no_ratio(recorded_folder):
    study = open_study(recorded_folder)
    told = igaku.study.length_ratios(study)
    met = {*told["shorter_run"], *told["longer_run"]}
    assert {"safeguard-mxfp4", "safeguard-mxfp4-mt4096"} <= met
    assert not met & {"openai-8bit", "openai-mxfp4-gguf", "mlx-community-mxfp4-q8"}
    assert told["is_inferred"].all()
    # One model under two budgets is as long as itself, as far as both budgets reach.
    sides = {"safeguard-mxfp4", "safeguard-mxfp4-mt4096"}
    own = told[told["shorter_run"].isin(sides) & told["longer_run"].isin(sides)]
    assert own["ratio"].item() == pytest.approx(1, abs=0.1)


def test_the_same_replies_have_the_same_limits(counted, run_of):
    runs = [
        run_of(rows_of(counted[f"gpt-oss-20b-{e}"]), e, max_tokens=None)
        for e in ("low", "medium")
    ]
    first, again = (ratios_of(*runs)[["low", "high"]].values.tolist() for _ in range(2))
    assert first == again
