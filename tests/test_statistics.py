"""Paired statistics against worked examples, and laws that must always hold."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igaku.errors import IgakuError
from igaku.statistics import (
    cochran_q,
    detectable_difference,
    equivalence,
    mcnemar,
    noninferiority,
    paired_difference,
    proportion,
    required_questions,
)

TABLES = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda t: sum(t) > 0)


def published(shared, what):
    body = json.loads(
        (shared / "data/statistics/published_examples.json").read_text("utf-8")
    )
    (row,) = [row for row in body["examples"] if row["what"] == what]
    return row["published"], row["tol"]


@pytest.mark.parametrize(
    ("what", "table", "confidence", "interval"),
    [
        ("Tango 95%", (59, 6, 16, 80), 0.95, "tango"),
        ("Newcombe method 10 95%", (59, 6, 16, 80), 0.95, "newcombe"),
        ("Newcombe, zero-discordance table (1,0,0,1)", (1, 0, 0, 1), 0.95, "newcombe"),
        ("Tango, (0,3,0,0) est=+1", (0, 3, 0, 0), 0.95, "tango"),
        ("Tango 1998 Table VII (4,9,3,16) 95%", (4, 9, 3, 16), 0.95, "tango"),
        (
            "Tango 1998 Table V (43,0,1,0) 90% (contact-lens cross-over)",
            (43, 0, 1, 0),
            0.90,
            "tango",
        ),
        ("Agresti & Min 2005 (53,16,8,9) score 95%", (53, 16, 8, 9), 0.95, "tango"),
        ("Tango 95% (1,1,7,12)", (1, 1, 7, 12), 0.95, "tango"),
        ("Newcombe m10 95% (1,1,7,12)", (1, 1, 7, 12), 0.95, "newcombe"),
        (
            "Newcombe 1998 example (20,12,2,16) method 10",
            (20, 12, 2, 16),
            0.95,
            "newcombe",
        ),
        ("Tang 2010 (8,3,1,2) Newcombe m10", (8, 3, 1, 2), 0.95, "newcombe"),
        ("Tang 2010 (8,3,1,2) Tango", (8, 3, 1, 2), 0.95, "tango"),
    ],
)
def test_intervals_reproduce_published_ones(shared, what, table, confidence, interval):
    expected, tolerance = published(shared, what)
    got = getattr(paired_difference(*table, confidence=confidence), interval)
    assert got == pytest.approx(expected, abs=tolerance)


def test_wilson_reproduces_newcombe_1998(shared):
    expected, tolerance = published(shared, "Wilson 15/148, 0/20, 1/29")
    got = [
        limit
        for k, n in ((15, 148), (0, 20), (1, 29))
        for limit in (proportion(k, n).low, proportion(k, n).high)
    ]
    assert got == pytest.approx(expected, abs=tolerance)


def test_cochran_q_reproduces_sas_and_conover(shared):
    expected, tolerance = published(shared, "SAS 'drugs' Cochran Q 8.4706, p .0145")
    drugs = [(1, 1, 1)] * 6 + [(1, 1, 0)] * 16 + [(1, 0, 1)] * 2 + [(1, 0, 0)] * 4
    drugs += [(0, 1, 1)] * 2 + [(0, 1, 0)] * 4 + [(0, 0, 1)] * 6 + [(0, 0, 0)] * 6
    result = cochran_q(drugs)
    assert [result.statistic, result.pvalue] == pytest.approx(expected, abs=tolerance)


def test_two_models_with_the_same_answers_are_not_different():
    assert mcnemar(0, 0).midp == mcnemar(0, 0).exact == 1.0
    assert cochran_q([(1, 1), (0, 0)]).pvalue == 1.0


def test_a_tie_keeps_half_its_own_weight():
    assert mcnemar(3, 3).midp == pytest.approx(0.84375)


def test_tangos_equivalence_example(shared):
    body = json.loads(
        (shared / "data/statistics/published_examples.json").read_text("utf-8")
    )
    p = body["tango_1998_equivalence_example"]["p"]
    # p1 − p2 > −0.1 with (43, 0, 1, 0): A worse than B by 0.1 is what is ruled out.
    assert noninferiority(43, 1, 0, 0, 0.1) == pytest.approx(p, rel=1e-9)


def test_400_questions_see_about_three_points():
    assert detectable_difference(400, 0.055) == pytest.approx(0.0328, abs=5e-5)
    assert required_questions(0.005, 0.055) == 17266
    assert math.isnan(detectable_difference(4, 0.5))


@given(TABLES)
def test_intervals_hold_their_estimate(table):
    d = paired_difference(*table)
    for low, high in (d.tango, d.newcombe):
        assert -1 - 1e-9 <= low <= d.estimate + 1e-9
        assert d.estimate - 1e-9 <= high <= 1 + 1e-9


@given(TABLES)
def test_swapping_the_models_mirrors_everything(table):
    both, only_a, only_b, neither = table
    d = paired_difference(*table)
    swapped = paired_difference(both, only_b, only_a, neither)
    assert d.tango == pytest.approx((-swapped.tango[1], -swapped.tango[0]), abs=1e-8)
    assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a)


@given(TABLES, st.floats(0.01, 0.5))
def test_equivalence_agrees_with_the_90_percent_interval(table, margin):
    low, high = paired_difference(*table, confidence=0.90).tango
    p = equivalence(*table, margin=margin)
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (-margin < low and high < margin)


@given(st.integers(0, 80), st.integers(0, 80))
def test_midp_is_a_probability_below_the_exact_p(only_a, only_b):
    result = mcnemar(only_a, only_b)
    assert 0 < result.midp <= result.exact <= 1


def test_bad_counts_and_margins_are_named():
    with pytest.raises(IgakuError, match="not negative"):
        mcnemar(-1, 2)
    with pytest.raises(IgakuError, match="fraction"):
        noninferiority(1, 1, 1, 1, 2.5)
    with pytest.raises(IgakuError, match="confidence"):
        proportion(1, 3, 95)
    with pytest.raises(IgakuError, match="1 for right"):
        cochran_q([[1, 2], [0, 1]])
    with pytest.raises(IgakuError, match="shared question"):
        paired_difference(0, 0, 0, 0)
