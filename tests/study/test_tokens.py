"""What the budget did: published curves, laws that must hold, and real recordings."""

import doctest
import json
import random
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igaku.errors import IgakuError
from igaku.exam import calibration
from igaku.study import recorded, tokens
from igaku.study.runs import load_run

BUDGET = 1024

# Remission in weeks of 21 children each, "+" being censored: Freireich et al. 1963,
# Blood 21:699, the worked example of most textbooks on survival.
SIX_MP = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def spent(rows, unit="tokens", budget=None, run="r"):
    """Spending from (amount, finished) or (amount, finished, correct) tuples."""
    table = pd.DataFrame(
        [(*row, *(True,) * (3 - len(row))) for row in rows],
        columns=["amount", "finished", "correct"],
    ).astype({"amount": float, "finished": bool, "correct": bool})
    outcome = np.where(table["finished"] | table["correct"], "answered", "truncated")
    table = table.assign(outcome=outcome, problem_id=[f"900A{i}" for i in table.index])
    return tokens.Spending(run, run.upper(), unit, budget, table, 0)


def weeks(text, run="r"):
    rows = [(float(w.rstrip("+")), not w.endswith("+")) for w in text.split()]
    return spent(rows, run=run)


def answer(number=1, **changes):
    row = {
        "problem_id": f"900A{number}",
        "section": "A",
        "outcome": "answered",
        "answer": ["a"],
        "correct": True,
        "content": "a",
        "reasoning": "まず a",
        "finish_reason": "stop",
        "completion_tokens": 500,
        "reasoning_tokens": 400,
        "seconds": 5.0,
        "prompt_sha256": "00",
    }
    return row | changes


def cut(number=1, **changes):
    lost = {"outcome": "truncated", "answer": None, "correct": False, "content": ""}
    told = {"finish_reason": "length", "completion_tokens": BUDGET}
    return answer(number, **{**lost, **told, **changes})


def blank(number=1, **changes):
    """A blank reply without a word on why, as recorded runs have them."""
    unknown = {"finish_reason": None, "completion_tokens": None}
    lost = {"outcome": "empty", "reasoning_tokens": None, "reasoning": None}
    return cut(number, **{**unknown, **lost, **changes})


def failed(number=1):
    return blank(number, outcome="api_error", correct=None, content=None, seconds=1.0)


@pytest.fixture
def run_of(tmp_path):
    def _run(rows, name="base", probe=(), about=None, **settings):
        folder = tmp_path / name
        folder.mkdir()
        told = {"model": "m", "slug": "m", "exam": 2022, "max_tokens": BUDGET}
        manifest = {"settings": told | settings} | (about or {})
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        for file, lines in (("answers", rows), ("probe", probe)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / f"{file}.jsonl").write_text(text, encoding="utf-8")
        return load_run(folder)

    return _run


def test_the_examples_in_the_docstrings_hold():
    found = doctest.testmod(tokens)
    assert found.attempted > 20 and found.failed == 0


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
    found = tokens.spending(run_of([row]))
    assert (found.unit, found.budget, found.left_out) == ("tokens", BUDGET, 0)
    assert found.rows["finished"].tolist() == [finished]
    assert found.rows["amount"].tolist() == [row["completion_tokens"]]


def test_seconds_stand_in_where_tokens_are_not_on_record(run_of):
    quiet = {"completion_tokens": None, "finish_reason": None}
    rows = [answer(1, **quiet), blank(2), answer(3, **quiet, correct=False), failed(4)]
    found = tokens.spending(run_of(rows))
    assert (found.unit, found.left_out) == ("seconds", 1)
    assert found.rows["problem_id"].tolist() == ["900A1", "900A2", "900A3"]
    # Nothing says how the blank one ended; it is not taken for a finished reply.
    assert found.rows["finished"].tolist() == [True, False, True]
    assert found.rows["correct"].tolist() == [True, False, False]


def test_a_blank_reply_that_says_it_stopped_is_finished_in_seconds_too(run_of):
    found = tokens.spending(run_of([blank(finish_reason="stop")]))
    assert found.unit == "seconds" and found.rows["finished"].tolist() == [True]


def test_a_few_counted_replies_do_not_speak_for_the_run(run_of):
    rows = [answer(1), answer(2, completion_tokens=None), failed(3)]
    assert tokens.spending(run_of(rows)).unit == "seconds"
    rows = [answer(1), answer(2), answer(3, completion_tokens=None, seconds=None)]
    found = tokens.spending(run_of(rows, "most"))
    assert (found.unit, len(found.rows), found.left_out) == ("tokens", 2, 1)


def test_nothing_recorded_is_none_and_not_zero(run_of):
    bare = answer(completion_tokens=None, seconds=None)
    assert tokens.spending(run_of([bare])) is None
    assert tokens.spending(run_of([], "no rows")) is None
    assert tokens.spending(run_of([failed()], "all failed")) is None


def test_reasoning_is_over_once_the_answer_began(run_of):
    half = cut(2, content="答えは", reasoning_tokens=1000)
    rows = [answer(1), half, cut(3, reasoning_tokens=BUDGET)]
    found = tokens.spending(run_of(rows), of="reasoning")
    assert found.rows["amount"].tolist() == [400, 1000, BUDGET]
    assert found.rows["finished"].tolist() == [True, True, False]


def test_seconds_never_stand_in_for_reasoning(run_of):
    run = run_of([answer(reasoning_tokens=None)])
    assert tokens.spending(run, of="reasoning") is None
    with pytest.raises(IgakuError, match="'prompt'"):
        tokens.spending(run, of="prompt")


# --- how long replies are -------------------------------------------------------------


def at(curve, x):
    (place,) = np.flatnonzero(curve.x == x)
    return curve.share[place], curve.low[place], curve.high[place]


def test_the_curve_is_the_published_one_of_freireich():
    curve = tokens.survival(weeks(SIX_MP))
    assert at(curve, 6) == pytest.approx((0.8571, 0.6197, 0.9516), abs=5e-5)
    assert at(curve, 23) == pytest.approx((0.4482, 0.1881, 0.6801), abs=5e-5)
    assert (curve.n, curve.finished, curve.median) == (21, 9, (23, 13, None))
    assert curve.at_cap.estimate == pytest.approx(12 / 21)
    assert tokens.survival(weeks(PLACEBO)).median == (8, 4, 11)


def test_the_logrank_test_is_the_published_one_of_freireich():
    p = tokens.logrank(weeks(SIX_MP), weeks(PLACEBO))
    assert p == pytest.approx(4.17e-5, abs=5e-8)  # chi-squared 16.79


def test_the_cap_is_not_the_length_of_any_reply():
    rows = [(100, True), (300, True), *[(BUDGET, False)] * 3]
    curve = tokens.survival(spent(rows, budget=BUDGET))
    assert curve.x.tolist() == [0, 100, 300, BUDGET]
    assert curve.share.tolist() == pytest.approx([1, 0.8, 0.6, 0.6])
    assert curve.median is None
    assert (curve.finished, curve.at_cap.estimate) == (2, 0.6)


@pytest.mark.parametrize("finished", [True, False])
def test_a_single_reply_has_a_curve(finished):
    curve = tokens.survival(spent([(0, finished)]))
    assert curve.x.tolist() == [0] and curve.share.tolist() == [not finished]
    assert curve.median == ((0, None, None) if finished else None)


REPLIES = st.lists(
    st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), min_size=1, max_size=40
)


@given(REPLIES)
def test_without_cut_replies_the_curve_is_the_plain_share(rows):
    ended = spent([(amount, True) for amount, _, _ in rows])
    curve, amounts = tokens.survival(ended), ended.rows["amount"]
    assert curve.share == pytest.approx([(amounts > x).mean() for x in curve.x])
    assert np.nanmin([*(curve.share - curve.low), 0]) >= -1e-9
    assert np.nanmin([*(curve.high - curve.share), 0]) >= -1e-9


@given(REPLIES, REPLIES)
def test_logrank_has_no_direction_and_finds_nothing_between_copies(one, other):
    a, b = spent(one), spent(other)
    if not a.rows["finished"].any():
        assert tokens.logrank(a, a) is None
    else:
        assert tokens.logrank(a, a) == pytest.approx(1)
        assert tokens.logrank(a, b) == pytest.approx(tokens.logrank(b, a))


def test_logrank_tests_like_with_like_only():
    one = spent([(5, True), (9, True)])
    assert tokens.logrank(one, spent([(5, True)], unit="seconds")) is None
    assert tokens.logrank(spent([(9, False)]), spent([(9, False)])) is None
    # One of two identical replies each: no order of them could be told from another.
    assert tokens.logrank(spent([(5, True)]), spent([(5, True)])) == 1.0


def test_holm_is_over_the_pairs_that_could_be_tested():
    runs = [weeks(SIX_MP, "a"), weeks(PLACEBO, "b"), weeks(PLACEBO, "c")]
    runs.append(spent([(3, True)], unit="seconds", run="d"))
    table = tokens.logrank_pairs(runs).set_index(["a", "b"])
    assert len(table) == 6
    assert table["pvalue"].isna().sum() == table["holm"].isna().sum() == 3
    assert table.loc[("a", "b"), "holm"] == pytest.approx(3 * 4.17e-5, abs=2e-7)
    assert table.loc[("b", "c"), "holm"] == pytest.approx(1)


def test_right_against_wrong_tells_the_cut_from_the_slow():
    right = [(amount, True, True) for amount in range(10, 20)]
    wrong = [(amount, True, False) for amount in range(10, 20)]
    lost = [(BUDGET, False, False)] * 10
    found = tokens.right_against_wrong(spent([*right, *wrong, *lost]))
    assert (found.right.n, found.right.median[0]) == (10, 14)
    assert (found.wrong.n, found.wrong.finished) == (20, 10)
    # All of the difference is the budget's: finished ones are as long as each other.
    assert found.pvalue < 0.01 and found.finished_pvalue == pytest.approx(1)
    assert tokens.right_against_wrong(spent(right)) is None


# --- a smaller budget -----------------------------------------------------------------


@given(REPLIES, st.integers(1, 80), st.sampled_from(["tokens", "seconds"]))
def test_a_budget_curve_recounts_the_replies_at_every_budget(rows, points, unit):
    found = spent(rows, unit=unit, budget=40)
    curve = tokens.budget_curve(found, points)
    assert np.all(np.diff(curve.x) > 0) and len(curve.x) <= points
    last = 40 if unit == "tokens" else max(amount for amount, *_ in rows)
    assert curve.x[-1] == last and curve.x[0] > 0
    for place, x in enumerate(curve.x[:-1]):
        within = [right for amount, ended, right in rows if ended and amount <= x]
        assert curve.accuracy[place] == pytest.approx(sum(within) / len(rows))
        assert curve.blank[place] == pytest.approx(1 - len(within) / len(rows))
    own = sum(right for *_, right in rows) / len(rows)
    assert curve.accuracy[-1] == pytest.approx(own) and curve.n == len(rows)
    assert np.all(np.diff(curve.accuracy) >= 0) and np.all(np.diff(curve.blank) <= 0)
    assert np.all((curve.low <= curve.accuracy) & (curve.accuracy <= curve.high))


@given(REPLIES, st.floats(0, 0.3))
def test_the_smallest_budget_keeps_the_loss_and_no_smaller_one_does(rows, loss):
    curve = tokens.budget_curve(spent(rows, budget=40))
    least = tokens.smallest_budget(curve, loss)
    enough = curve.accuracy[-1] - loss
    assert curve.accuracy[curve.x == least] >= enough - 1e-9
    assert all(curve.accuracy[curve.x < least] < enough)


def test_a_reply_without_an_answer_in_it_is_blank_at_every_budget(run_of):
    lost = {"correct": False, "answer": None}
    rows = [answer(1), answer(2, outcome="unparsable", **lost), cut(3)]
    rows.append(answer(4, outcome="wrong_cardinality", correct=False))
    curve = tokens.budget_curve(tokens.spending(run_of(rows)))
    assert (curve.accuracy[-1], curve.blank[-1], curve.blank[0]) == (0.25, 0.5, 1)


def test_a_cut_reply_that_states_its_answer_counts_at_the_own_budget_only(run_of):
    rows = [answer(1), answer(2, completion_tokens=BUDGET, finish_reason="length")]
    curve = tokens.budget_curve(tokens.spending(run_of(rows)))
    assert curve.accuracy[-2:].tolist() == [0.5, 1]


# --- loops ----------------------------------------------------------------------------


@given(st.text("ab", max_size=60))
def test_the_repeated_suffix_is_the_longest_there_is(text):
    ends = [n for n in range(1, len(text)) if text[-n:] in text[:-1]]
    assert tokens.repeated_suffix(text) == max(ends, default=0)


LONG_TEXTS = {
    "one letter": "a" * 16_000,
    "almost one letter": "a" * 8_000 + "b" + "a" * 7_999,
    "a long period": ("ab" * 999 + "c") * 8,
    "no repetition": "".join(random.Random(1).choices("abcdefgh", k=16_000)),
}


@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS.keys())
def test_a_long_text_is_judged_in_milliseconds(text):
    began = time.perf_counter()
    tokens.is_looping(text)
    assert time.perf_counter() - began < 0.5  # about 0.003; a quadratic search: minutes


@pytest.mark.parametrize("effort", calibration.EFFORTS)
def test_no_chain_of_the_lab_is_called_a_loop(effort):
    rng = random.Random(3)
    kinds = [("kth", 5), ("kth", 6), ("top", 5), ("number", 4)] * 50
    problems = [calibration.draw_problem(rng, kind, size) for kind, size in kinds]
    chains = [calibration.reasoning(problem, effort) for problem in problems]
    assert not any(map(tokens.is_looping, chains))
    # A chain that starts again and again is one, however many numbers are in it.
    assert all(tokens.is_looping(f"{chain};" * 16) for chain in chains)


def test_real_reasoning_is_no_loop_until_it_repeats(shared):
    name = "prompt_comparison_gpt-oss-safeguard-20b-mlx-mt4096_2022_B.json"
    body = json.loads((shared / "data/recorded" / name).read_text("utf-8"))
    texts = [r["reasoning"] for r in body["details"]["baseline"] if r.get("reasoning")]
    assert len(texts) > 40
    assert not any(map(tokens.is_looping, texts))
    assert all(tokens.is_looping(text + text[-40:] * 3) for text in texts)
    assert all(tokens.is_looping(text * 4) for text in texts)


def test_a_loop_that_counts_on_is_a_loop():
    steps = [
        f"Step {i}: check the options once more, none is clear." for i in range(40)
    ]
    assert tokens.repeated_suffix("".join(steps)) < 60
    assert tokens.is_looping("".join(steps))


@pytest.mark.parametrize(
    "end", ["", "!!!", "……", "|---|---|---|", "はい、はい、はい。"]
)
def test_a_short_repetition_at_the_end_is_no_loop(end):
    assert not tokens.is_looping(f"鑑別には心電図と採血が要る。よって c を選ぶ。{end}")


def test_loops_are_one_row_per_reply_with_reasoning(run_of):
    rows = [answer(1), cut(2, reasoning="so c. Wait, " * 30), blank(3), failed(4)]
    found = tokens.loops(run_of(rows)).set_index("problem_id")
    assert found.index.tolist() == ["900A1", "900A2"]
    assert found["looping"].tolist() == [False, True]
    assert found["characters"].tolist() == [4, 360]
    assert found.loc["900A2", "repeated_suffix"] == 348
    assert pd.isna(found.loc["900A1", "distinct_share"])
    assert found.loc["900A2", "distinct_share"] == pytest.approx(12 / 349)


def test_clipped_or_unrecorded_reasoning_tells_nothing_of_loops(run_of):
    rows = [answer(1, reasoning="so c. Wait, " * 30)]
    whole = {"clipped": {"response": 1, "reasoning": 0}}
    assert tokens.loops(run_of(rows, "whole", about=whole))["looping"].tolist() == [
        True
    ]
    short = {"clipped": {"response": 0, "reasoning": 1}}
    assert tokens.loops(run_of(rows, "clipped", about=short)) is None
    assert tokens.loops(run_of([blank(1)], "none")) is None


# --- a larger budget ------------------------------------------------------------------


LOST = [cut(1), cut(2), cut(3), cut(4), blank(5), cut(6), failed(7), answer(8)]
AGAIN = [
    answer(1), answer(2, correct=False), answer(7),
    cut(3, completion_tokens=4 * BUDGET), blank(4), failed(5), answer(8),
]  # fmt: skip


def test_a_rescue_says_what_became_of_every_lost_question(run_of):
    runs = [run_of(LOST), run_of(AGAIN, "more", max_tokens=4 * BUDGET)]
    (found,) = tokens.rescues(runs)
    assert (found.run, found.rescue) == ("base", "more")
    assert (found.budget, found.larger, found.lost) == (BUDGET, 4 * BUDGET, 6)
    assert found.counts == tokens.Counts(
        rescued=1, finished_wrong=1, unfinished=2, failed=1, not_asked=1
    )
    assert found.counts.asked == 5 and found.counts.share.estimate == 0.2
    assert (found.control, found.control_counts) == (None, None)
    # The request that had failed was not cut; it stands by itself.
    assert found.errors == tokens.Counts(1, 0, 0, 0, 0)


def test_a_cut_reply_is_no_rescue_even_when_it_is_right(run_of):
    again = [answer(n, finish_reason="length") for n in range(1, 7)]
    runs = [run_of(LOST), run_of(again, "more", max_tokens=4 * BUDGET)]
    (found,) = tokens.rescues(runs)
    assert found.counts == tokens.Counts(0, 0, 6, 0, 0)


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
    (found,) = tokens.rescues(runs)
    assert (found.rescue, found.control) == ("more", "once more")
    assert found.counts.rescued == 6
    assert found.control_counts == tokens.Counts(1, 0, 5, 0, 0)


def test_a_follow_up_pairs_with_its_own_run_only(run_of):
    runs = [run_of([cut(1)], "one"), run_of([cut(1)], "two")]
    follow_up = {"lost_of": "one", "max_tokens": 4 * BUDGET}
    runs.append(run_of([cut(1, completion_tokens=4 * BUDGET)], "more", **follow_up))
    runs.append(run_of([answer(1)], "most", max_tokens=16 * BUDGET))
    found = {(each.run, each.rescue) for each in tokens.rescues(runs)}
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
    assert tokens.rescues([base, run_of([answer(1)], "more", **more)])
    assert tokens.rescues([base, run_of([answer(1)], "other", **(more | other))]) == []


def test_what_a_recorded_run_does_not_tell_cannot_differ(run_of):
    base = run_of([cut(1)], about={"origin": "recorded"}, reasoning_effort=None)
    told = {"max_tokens": 4 * BUDGET, "reasoning_effort": "low", "temperature": 0.0}
    assert len(tokens.rescues([base, run_of([answer(1)], "more", **told)])) == 1


def test_without_a_slug_the_model_decides(run_of):
    base, more = run_of([cut(1)], slug=None), {"max_tokens": 4 * BUDGET}
    assert len(tokens.rescues([base, run_of([answer(1)], "more", **more)])) == 1
    other = run_of([answer(1)], "other", **more, model="another")
    assert tokens.rescues([base, other]) == []


def test_a_blank_reply_that_ended_by_itself_is_not_lost_to_the_budget(run_of):
    silent = blank(1, finish_reason="stop", completion_tokens=20)
    more = run_of([answer(1)], "more", max_tokens=4 * BUDGET)
    assert tokens.rescues([run_of([silent, failed(2)]), more]) == []


def test_the_probe_of_a_broken_run_is_a_small_rescue(run_of):
    probe = [answer(1), cut(2, completion_tokens=4 * BUDGET - 1, finish_reason=None)]
    probe.append(answer(3, outcome="wrong_model", correct=None))
    (found,) = tokens.rescues([run_of(LOST, probe=probe)])
    assert (found.rescue, found.larger) == ("base/probe", 4 * BUDGET)
    assert found.counts == tokens.Counts(1, 0, 1, 0, not_asked=4)


def test_the_recorded_safeguard_runs_show_what_4096_tokens_rescued(
    shared, tmp_path, monkeypatch
):
    monkeypatch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
    files = shared / "data/recorded"
    base = [files / "gpt-oss-20b-safeguard_2022_A.json"]
    more = sorted(files.glob("prompt_comparison_*mt4096_2022_?.json"))
    assert len(more) == 6
    folders = [
        recorded.import_recorded(base, tmp_path, "safeguard-mxfp4-recorded"),
        recorded.import_recorded(more, tmp_path, "safeguard-mxfp4-mt4096-recorded"),
    ]
    runs = [load_run(folder) for folder in folders]
    (found,) = tokens.rescues(runs)
    assert (found.budget, found.larger, found.lost) == (1024, 4096, 39)
    assert found.counts == tokens.Counts(26, 10, 3, 0, 0)
    assert found.errors == tokens.Counts(2, 3, 1, 0, 0)
    assert found.control is None
    small, large = map(tokens.spending, runs)
    assert (small.unit, small.left_out, len(small.rows)) == ("seconds", 6, 69)
    assert tokens.survival(small).at_cap.estimate == pytest.approx(39 / 69)
    assert tokens.budget_curve(small).accuracy[-1] == pytest.approx(27 / 69)
    assert len(large.rows) + large.left_out == 400
    assert [tokens.loops(run) for run in runs] == [None, None]  # clipped at 500
