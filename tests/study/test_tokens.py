"""What the budget did: published curves, laws that must hold, and real recordings."""

import doctest

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replies import BUDGET, answer, blank, cut, failed

import igaku
from igaku.reading.reply import read_reply
from igaku.study import tokens
from igaku.study.families import open_study, study_of

SPLIT = "completion_tokens", "reasoning_tokens", "reasoning_tokens_estimated"
COUNTED = igaku.study.lengths, igaku.study.survival, igaku.study.budget_curves

# Remission in weeks of 21 children each, "+" being censored: Freireich et al. 1963,
# Blood 21:699, the worked example of most textbooks on survival.
SIX_MP = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def spent(rows):
    """Replies from (tokens, finished) or (tokens, finished, correct) tuples."""
    table = pd.DataFrame(
        [(*row, *(True,) * (3 - len(row))) for row in rows],
        columns=["tokens", "finished", "correct"],
    ).astype({"tokens": float, "finished": bool, "correct": bool})
    outcome = np.where(table["finished"] | table["correct"], "answered", "truncated")
    return table.assign(outcome=outcome)


def weeks(text):
    return spent([(float(w.rstrip("+")), not w.endswith("+")) for w in text.split()])


def test_the_examples_in_the_docstrings_hold():
    found = doctest.testmod(tokens)
    assert found.attempted > 10 and found.failed == 0


# --- what a run spent -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "finished"),
    [
        (answer(), True),
        (answer(completion_tokens=BUDGET - 2), True),
        (answer(completion_tokens=BUDGET - 1), False),  # LM Studio counts one less
        (answer(completion_tokens=BUDGET, finish_reason=None), False),
        (answer(finish_reason="length"), False),
        (answer(finish_reason=None), True),
        (cut(completion_tokens=700), False),
        # It ended by itself, without an answer: the budget has nothing to do with it.
        (cut(outcome="empty", finish_reason="stop", completion_tokens=9), True),
        (cut(outcome="empty", finish_reason=None, completion_tokens=9), True),
    ],
)
def test_a_reply_is_finished_unless_the_budget_ended_it(run_of, row, finished):
    found = tokens.spent(run_of([row]))
    assert found["finished"].tolist() == [finished]
    assert found["tokens"].tolist() == [row["completion_tokens"]]


def test_seconds_never_stand_in_for_tokens(run_of, tmp_path):
    quiet = {"completion_tokens": None, "finish_reason": None}
    rows = [answer(1, **quiet), blank(2), answer(3, **quiet, correct=False), failed(4)]
    assert tokens.spent(run_of(rows)).empty
    study = open_study(tmp_path)
    for frame in COUNTED:
        assert frame(study).empty and "run" in frame(study)


def test_a_few_counted_replies_do_not_speak_for_the_run(run_of):
    rows = [answer(1), answer(2, completion_tokens=None), failed(3)]
    assert tokens.spent(run_of(rows)).empty
    rows = [answer(1), answer(2), answer(3, completion_tokens=None), failed(4)]
    found = tokens.spent(run_of(rows, "most"))
    assert found["problem_id"].tolist() == ["900A1", "900A2"]


def test_nothing_recorded_is_no_row_and_not_zero(run_of):
    assert tokens.spent(run_of([answer(completion_tokens=None)])).empty
    assert tokens.spent(run_of([], "no rows")).empty
    assert tokens.spent(run_of([failed()], "all failed")).empty


def test_without_a_budget_on_record_a_silent_end_is_not_known(run_of):
    run = run_of([blank(1, completion_tokens=90), answer(2)], max_tokens=None)
    assert tokens.spent(run)["finished"].tolist() == [False, True]


# --- how long replies are -------------------------------------------------------------


def at(curve, x):
    (row,) = curve[curve["x"] == x].itertuples()
    return row.share, row.low, row.high


def test_the_curve_is_the_published_one_of_freireich():
    curve = tokens.kaplan_meier(weeks(SIX_MP))
    assert at(curve, 6) == pytest.approx((0.8571, 0.6197, 0.9516), abs=5e-5)
    assert at(curve, 23) == pytest.approx((0.4482, 0.1881, 0.6801), abs=5e-5)
    assert tokens.median_of(curve) == (23, 13, None)
    assert tokens.median_of(tokens.kaplan_meier(weeks(PLACEBO))) == (8, 4, 11)


def test_the_cap_is_not_the_length_of_any_reply():
    rows = [(100, True), (300, True), *[(BUDGET, False)] * 3]
    curve = tokens.kaplan_meier(spent(rows))
    assert curve["x"].tolist() == [0, 100, 300, BUDGET]
    assert curve["share"].tolist() == pytest.approx([1, 0.8, 0.6, 0.6])
    assert tokens.median_of(curve) == (None, None, None)


@pytest.mark.parametrize("finished", [True, False])
def test_a_single_reply_has_a_curve(finished):
    curve = tokens.kaplan_meier(spent([(0, finished)]))
    assert curve["x"].tolist() == [0] and curve["share"].tolist() == [not finished]
    assert tokens.median_of(curve)[0] == (0 if finished else None)


REPLIES = st.lists(
    st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), min_size=1, max_size=40
)


@given(REPLIES)
def test_without_cut_replies_the_curve_is_the_plain_share(rows):
    ended = spent([(amount, True) for amount, _, _ in rows])
    curve = tokens.kaplan_meier(ended)
    plain = [(ended["tokens"] > x).mean() for x in curve["x"]]
    assert curve["share"].tolist() == pytest.approx(plain)
    assert np.nanmin([*(curve["share"] - curve["low"]), 0]) >= -1e-9
    assert np.nanmin([*(curve["high"] - curve["share"]), 0]) >= -1e-9


def test_lengths_and_curves_are_frames_of_the_runs_with_tokens(run_of, tmp_path):
    run_of([answer(1), answer(2, completion_tokens=700), cut(3)], "counted")
    run_of([answer(n, completion_tokens=None) for n in (1, 2)], "timed")
    study = open_study(tmp_path)
    (row,) = igaku.study.lengths(study).itertuples()
    assert (row.run, row.unit, row.n, row.finished) == ("counted", "tokens", 3, 2)
    assert row.median == 700 and row.at_cap == pytest.approx(1 / 3)
    curve = igaku.study.survival(study)
    assert curve["run"].unique().tolist() == ["counted"]
    assert curve["x"].tolist() == [0, 500, 700, BUDGET]
    assert set(curve["max_tokens"]) == {BUDGET}
    budgets = igaku.study.budget_curves(study)
    assert budgets["max_tokens"].iloc[-1] == BUDGET
    assert budgets["accuracy"].iloc[-1] == pytest.approx(2 / 3)
    assert budgets["blank"].iloc[-1] == pytest.approx(1 / 3)


# --- thought against answer -----------------------------------------------------------


def test_the_share_of_thought_is_the_median_over_replies_cut_ones_too(run_of, tmp_path):
    spoken = [answer(1, reasoning_tokens=100), answer(2), failed(3)]  # 0.2 and 0.8
    run_of([*spoken, cut(4, reasoning_tokens=BUDGET)], "counted")
    run_of([answer(1, reasoning_tokens=None), answer(2)], "half")
    run_of([answer(1, reasoning_tokens=0)], "none")
    run_of([answer(1, reasoning_tokens=501)], "more")
    found = igaku.study.lengths(open_study(tmp_path)).set_index("run")
    assert found["thought"].drop("half").to_dict() == {
        "counted": 0.8, "none": 0, "more": 1,
    }  # fmt: skip
    assert np.isnan(found.loc["half", "thought"])
    assert found["thought_by"].dropna().to_dict() == {
        "counted": "token", "none": "token", "more": "token",
    }  # fmt: skip


def test_a_share_told_by_the_texts_is_said_to_be(run_of, tmp_path):
    text = {"content": "b" * 30, "reasoning": "a" * 90}
    body = {"choices": [{"message": text}], "usage": {"completion_tokens": 200}}
    reply = read_reply(body)
    split = {name: getattr(reply, name) for name in SPLIT}
    run_of([answer(1, **text, **split)])
    (row,) = igaku.study.lengths(open_study(tmp_path)).itertuples()
    assert (row.thought, row.thought_by) == (0.75, "character")


# --- a smaller budget -----------------------------------------------------------------


@given(REPLIES, st.integers(1, 80))
def test_a_budget_curve_recounts_the_replies_at_every_budget(rows, points):
    curve = tokens.smaller_budgets(spent(rows), 40, points)
    x = curve["max_tokens"].to_numpy()
    assert np.all(np.diff(x) > 0) and len(x) <= points
    assert x[-1] == 40 and x[0] > 0
    for row in curve[:-1].itertuples():
        within = [r for amount, ended, r in rows if ended and amount <= row.max_tokens]
        assert row.accuracy == pytest.approx(sum(within) / len(rows))
        assert row.blank == pytest.approx(1 - len(within) / len(rows))
    own = sum(right for *_, right in rows) / len(rows)
    assert curve["accuracy"].iloc[-1] == pytest.approx(own)
    assert curve["accuracy"].is_monotonic_increasing
    assert curve["blank"].is_monotonic_decreasing
    assert (curve["low"] <= curve["accuracy"]).all()
    assert (curve["accuracy"] <= curve["high"]).all()


def test_without_a_budget_on_record_the_longest_reply_ends_the_curve():
    curve = tokens.smaller_budgets(spent([(10, True), (70, True)]), None)
    assert curve["max_tokens"].iloc[-1] == 70


def test_a_reply_without_an_answer_in_it_is_blank_at_every_budget(run_of):
    lost = {"correct": False, "answer": None}
    rows = [answer(1), answer(2, outcome="unparsable", **lost), cut(3)]
    rows.append(answer(4, outcome="wrong_cardinality", correct=False))
    curve = tokens.smaller_budgets(tokens.spent(run_of(rows)), BUDGET)
    own = curve.iloc[-1]
    assert (own["accuracy"], own["blank"], curve["blank"].iloc[0]) == (0.25, 0.5, 1)


def test_a_cut_reply_that_states_its_answer_counts_at_the_own_budget_only(run_of):
    rows = [answer(1), answer(2, completion_tokens=BUDGET, finish_reason="length")]
    curve = tokens.smaller_budgets(tokens.spent(run_of(rows)), BUDGET)
    assert curve["accuracy"].tolist()[-2:] == [0.5, 1]


# --- a larger budget ------------------------------------------------------------------


LOST = [cut(1), cut(2), cut(3), cut(4), blank(5), cut(6), failed(7), answer(8)]
AGAIN = [
    answer(1), answer(2, correct=False), answer(7),
    cut(3, completion_tokens=4 * BUDGET), blank(4), failed(5), answer(8),
]  # fmt: skip


def rescues(runs):
    return igaku.study.rescues(study_of(runs))


def counts(row):
    names = ("rescued", "finished_wrong", "unfinished", "failed", "not_asked")
    return tuple(row[name] for name in names)


def test_a_rescue_says_what_became_of_every_lost_question(run_of):
    runs = [run_of(LOST), run_of(AGAIN, "more", max_tokens=4 * BUDGET)]
    (row,) = rescues(runs).to_dict("records")
    assert (row["run"], row["rescue"]) == ("base", "more")
    assert (row["budget"], row["larger"], row["lost"]) == (BUDGET, 4 * BUDGET, 6)
    assert counts(row) == (1, 1, 2, 1, 1)
    assert row["asked"] == 5 and row["share"] == 0.2
    assert row["control"] is None
    # The request that had failed was not cut; it stands by itself.
    assert (row["error_asked"], row["error_rescued"]) == (1, 1)


def test_a_cut_reply_is_no_rescue_even_when_it_is_right(run_of):
    again = [answer(n, finish_reason="length") for n in range(1, 7)]
    runs = [run_of(LOST), run_of(again, "more", max_tokens=4 * BUDGET)]
    (row,) = rescues(runs).to_dict("records")
    assert counts(row) == (0, 0, 6, 0, 0)


def test_a_second_asking_at_the_same_budget_is_the_control(run_of):
    control = [answer(1), cut(2), cut(3), cut(4), cut(5), cut(6)]
    larger = [answer(n) for n in range(1, 7)]
    followed = {"lost_of": "base"}
    runs = [
        run_of(LOST),
        run_of(larger, "more", max_tokens=4 * BUDGET, **followed),
        run_of(control, "once more", **followed),
        run_of([cut(1)], "a part of it", **followed),
    ]
    (row,) = rescues(runs).to_dict("records")
    assert (row["rescue"], row["control"]) == ("more", "once more")
    assert row["rescued"] == 6
    assert (row["control_asked"], row["control_rescued"]) == (6, 1)


def test_a_follow_up_pairs_with_its_own_run_only(run_of):
    runs = [run_of([cut(1)], "one"), run_of([cut(1)], "two")]
    follow_up = {"lost_of": "one", "max_tokens": 4 * BUDGET}
    runs.append(run_of([cut(1, completion_tokens=4 * BUDGET)], "more", **follow_up))
    runs.append(run_of([answer(1)], "most", max_tokens=16 * BUDGET))
    found = set(rescues(runs)[["run", "rescue"]].itertuples(index=False, name=None))
    assert found == {("one", "more"), ("one", "most"), ("two", "most")}


@pytest.mark.parametrize(
    "other",
    [
        {"slug": "another"},
        {"exam": 2018},
        {"shots": 0},
        {"reasoning_effort": "high"},
        {"prompt": "short"},
        {"max_tokens": BUDGET // 2},
        {"max_tokens": None},
    ],
)
def test_another_model_or_another_setting_is_no_rescue(run_of, other):
    settings = {"shots": 2, "reasoning_effort": None, "prompt": "baseline"}
    base = run_of([cut(1)], **settings)
    more = settings | {"max_tokens": 4 * BUDGET}
    assert len(rescues([base, run_of([answer(1)], "more", **more)])) == 1
    assert rescues([base, run_of([answer(1)], "other", **(more | other))]).empty


def test_other_words_sent_are_no_rescue(run_of):
    base = run_of([cut(1)], about={"prompt_sha256": "00"})
    told = {"about": {"prompt_sha256": "11"}, "max_tokens": 4 * BUDGET}
    assert rescues([base, run_of([answer(1)], "more", **told)]).empty


def test_what_a_recorded_run_does_not_tell_cannot_differ(run_of):
    base = run_of([cut(1)], about={"origin": "recorded"}, reasoning_effort=None)
    told = {"max_tokens": 4 * BUDGET, "reasoning_effort": "low", "temperature": 0.0}
    assert len(rescues([base, run_of([answer(1)], "more", **told)])) == 1


def test_without_a_slug_the_model_decides(run_of):
    base, more = run_of([cut(1)], slug=None), {"max_tokens": 4 * BUDGET}
    assert len(rescues([base, run_of([answer(1)], "more", **more)])) == 1
    other = run_of([answer(1)], "other", **more, model="another")
    assert rescues([base, other]).empty


def test_a_blank_reply_that_ended_by_itself_is_not_lost_to_the_budget(run_of):
    silent = blank(1, finish_reason="stop", completion_tokens=20)
    more = run_of([answer(1)], "more", max_tokens=4 * BUDGET)
    assert rescues([run_of([silent, failed(2)]), more]).empty


def test_the_probe_of_a_broken_run_is_a_small_rescue(run_of):
    probe = [answer(1), cut(2, completion_tokens=4 * BUDGET - 1, finish_reason=None)]
    probe.append(answer(3, outcome="wrong_model", correct=None))
    (row,) = rescues([run_of(LOST, probe=probe)]).to_dict("records")
    assert (row["rescue"], row["larger"]) == ("base/probe", 4 * BUDGET)
    assert counts(row) == (1, 0, 1, 0, 4)


def test_the_recorded_safeguard_runs_show_what_4096_tokens_rescued(recorded_folder):
    study = open_study(recorded_folder)
    (row,) = igaku.study.rescues(study).to_dict("records")
    assert row["run"], row["rescue"] == ("safeguard-mxfp4", "safeguard-mxfp4-mt4096")
    assert (row["budget"], row["larger"], row["lost"]) == (1024, 4096, 39)
    assert counts(row) == (26, 10, 3, 0, 0) and row["control"] is None
    share = [row["share"], row["low"], row["high"]]
    assert share == pytest.approx([0.667, 0.510, 0.794], abs=5e-4)
    assert (row["error_asked"], row["error_rescued"]) == (6, 2)
    # Tokens are on record nowhere, and the reasoning was clipped at 500 characters.
    for frame in COUNTED:
        assert frame(study).empty
    kinds = set(igaku.study.silences(study)["silence"])
    assert "clipped" in kinds and not kinds & {"looping", "progressing"}
