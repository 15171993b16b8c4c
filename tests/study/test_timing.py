"""What walls tell of lengths in tokens: inferred, and only where there is a wall."""

import doctest

import pandas as pd
import pytest
from replies import BUDGET, answer, blank

import igaku
from igaku.study import timing
from igaku.study.families import study_of

Q4, SMALL = "mlx-community-mxfp4-q4", "safeguard-mxfp4"
LARGE = "safeguard-mxfp4-mt4096"


@pytest.fixture(scope="module")
def study(recorded_folder):
    return igaku.study.open_study(recorded_folder)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(timing).failed == 0


# --- the recorded runs ----------------------------------------------------------------


def test_one_speed_explains_the_walls_of_both_budgets(study):
    found = igaku.study.clocks(study).set_index("run")
    small, large = found.loc[SMALL], found.loc[LARGE]
    assert (small["at_wall"], small["blank"], small["slower"]) == (34, 39, 7)
    assert (large["at_wall"], large["blank"], large["slower"]) == (30, 30, 0)
    assert small["tokens_per_second"] == pytest.approx(134, rel=0.015)
    assert large["tokens_per_second"] == pytest.approx(134, rel=0.015)
    (told,) = igaku.study.foretold(study).to_dict("records")
    assert (told["run"], told["larger"], told["budgets"]) == (SMALL, LARGE, 4)
    assert told["walls"] == pytest.approx(4, rel=0.02)
    whole = found.loc["inferenceillusionist-4bit"]
    assert (whole["at_wall"], whole["blank"]) == (58, 58)
    assert large["seconds"] / whole["seconds"] == pytest.approx(3.99, abs=0.01)


def test_the_larger_run_foretells_the_smaller(study):
    (told,) = igaku.study.foretold(study).to_dict("records")
    assert told["is_inferred"]
    assert told["share"] == pytest.approx(0.54, abs=0.01) == told["within"] / 369
    on_a = ("asked", "foretold", "with_text", "both_text", "blank", "failed")
    assert [told[name] for name in on_a] == [75, 33, 30, 25, 39, 6]


def test_two_sections_that_ran_side_by_side_are_recognised(study):
    found = igaku.study.clocks(study)
    alone, shared = (row for _, row in found[found["run"] == Q4].iterrows())
    assert (alone["at_once"], alone["first"], alone["sections"]) == (
        1,
        "116A50",
        ("A",),
    )
    assert (shared["at_once"], shared["first"], shared["sections"]) == (
        2, "116A1", ("A", "B"),
    )  # fmt: skip
    assert (alone["asked"], shared["asked"]) == (26, 99)
    assert (alone["at_wall"], shared["blank"]) == (22, 87)
    assert alone["tokens_per_second"] == pytest.approx(134, rel=0.01)
    assert shared["tokens_per_second"] == pytest.approx(67, rel=0.01)
    # What the other section took is not on record for each reply: no length is told.
    assert pd.isna(shared["median"]) and pd.isna(shared["finished"])
    told = igaku.study.reply_lengths(study).query("run == @Q4")
    assert told["problem_id"].str[-2:].astype(int).min() == 50


def test_a_run_without_a_wall_has_no_clock(study):
    good = {"openai-8bit", "openai-mxfp4-gguf", "mlx-community-mxfp4-q8"}
    assert good <= {run.name for run in study.runs}
    for frame in (igaku.study.clocks(study), igaku.study.reply_lengths(study)):
        assert not good & {*frame["run"]}


def test_finished_replies_have_a_length_in_tokens_that_is_called_inferred(study):
    told = igaku.study.reply_lengths(study)
    assert told["is_inferred"].all()
    large = told.query("run == @LARGE")
    (clock,) = igaku.study.clocks(study).query("run == @LARGE").to_dict("records")
    finished = large.loc[large["finished"], "tokens"]
    assert (len(finished), clock["finished"]) == (369, 369)
    assert finished.median() == clock["median"] == pytest.approx(960, abs=5)
    assert finished.between(200, 4096).all()
    assert large.loc[~large["finished"], "tokens"].min() > 4000


# --- any runs -------------------------------------------------------------------------


def at(number, seconds, section="A", **changes):
    name = {"problem_id": f"900{section}{number}", "section": section}
    return blank(number, seconds=seconds, **(name | changes))


def said(number, seconds, section="A"):
    name = {"problem_id": f"900{section}{number}", "section": section}
    return answer(number, seconds=seconds, completion_tokens=None, **name)


def clocks_of(*runs):
    return igaku.study.clocks(study_of(runs))


def test_counted_tokens_come_before_inferred_ones(run_of):
    rows = [answer(n, seconds=4.0, completion_tokens=300) for n in range(1, 9)]
    rows += [blank(n, seconds=8.0) for n in range(9, 15)]
    told = igaku.study.reply_lengths(study_of([run_of(rows)]))
    assert set(told["tokens"]) == {300} and not told["is_inferred"].any()


def test_no_length_is_beyond_the_budget(run_of):
    rows = [at(n, 8.0) for n in range(1, 7)] + [at(7, 12.0), said(8, 2.0), said(9, 20)]
    run = run_of(rows)
    told = igaku.study.reply_lengths(study_of([run])).set_index("problem_id")
    assert told["tokens"].max() == BUDGET
    assert told.loc["900A8", "tokens"] == BUDGET / 4
    (clock,) = clocks_of(run).to_dict("records")
    assert clock["slower"] == 2


def test_a_wall_without_a_budget_is_no_clock(run_of):
    run = run_of([at(n, 8.0) for n in range(1, 7)], max_tokens=None)
    assert len(igaku.walls(study_of([run]))) == 1
    assert clocks_of(run).empty


def test_walls_that_take_turns_tell_no_length(run_of):
    run = run_of([at(n, 8.0 if n % 2 else 16.0) for n in range(1, 21)])
    assert len(clocks_of(run)) == 2
    assert igaku.study.reply_lengths(study_of([run])).empty


def test_a_later_wall_is_not_put_down_to_sections_that_took_unequally_long(run_of):
    rows = [at(n, 16.0) for n in range(1, 10)] + [at(n, 8.0) for n in range(10, 20)]
    unequal = run_of(rows + [at(n, 16.0, "B") for n in range(1, 20)], "unequal")
    equal = run_of(rows + [at(n, 16.0, "B") for n in range(1, 10)], "equal")
    assert clocks_of(unequal)["at_once"].isna().tolist() == [False, True]
    assert clocks_of(equal)["at_once"].tolist() == [1, 2]
    told = igaku.study.reply_lengths(study_of([unequal]))
    assert set(told["problem_id"]) == {f"900A{n}" for n in range(10, 20)}


def test_what_lies_between_two_walls_belongs_to_neither(run_of):
    rows = [at(n, 16.0) for n in range(1, 8)] + [said(8, 3.0)]
    rows += [at(n, 8.0) for n in range(9, 16)]
    found = clocks_of(run_of(rows))
    assert found["asked"].tolist() == [7, 7]


def test_a_larger_budget_foretells_nothing_of_another_model_or_another_exam(run_of):
    small = [at(n, 8.0) for n in range(1, 7)] + [said(7, 2.0)]
    large = [at(n, 32.0) for n in range(1, 7)] + [said(7, 2.0)]
    four = {"max_tokens": 4 * BUDGET}
    runs = [
        run_of(small, "small"), run_of(large, "large", **four),
        run_of(large, "other", model="x", slug="x", **four),
        run_of(large, "year", exam=2021, **four),
        run_of(large[6:], "again", lost_of="small", **four),
    ]  # fmt: skip
    (told,) = igaku.study.foretold(study_of(runs)).to_dict("records")
    assert (told["run"], told["larger"]) == ("small", "large")
    assert (told["foretold"], told["with_text"], told["both_text"]) == (1, 1, 1)
    assert told["walls"] == 4
