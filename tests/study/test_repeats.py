"""Variants that were asked again, and over several exams."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import planned, sit
from scipy.stats import ttest_rel

import igaku
from igaku import statistics
from igaku.errors import IgakuError
from igaku.study import noise, plan, repeats

NUMBERS = ["difference", "low", "high", "pvalue", "not_worse_p", "accuracy_candidate"]


def asked(folder, name, rights, slug=None, day=1, questions=None, **settings):
    told = {"slug": slug or name} | settings
    start = f"2026-02-{day:02}T09:00:00Z"
    return sit(folder, rights, name, questions, settings=told, start=start)


def drawn(seed, n=40, chance=0.7):
    return (np.random.default_rng(seed).random(n) < chance).tolist()


def of(folder, kind="finished"):
    (row,) = igaku.pairs(folder).query("family == @kind").to_dict("records")
    return row


def test_which_asking_counts_first_is_no_matter_of_a_folders_name(tmp_path):
    for where, early, late in (("one", "r8", "a8"), ("other", "a8", "r8")):
        asked(tmp_path / where, early, drawn(1), "m8", day=1)
        asked(tmp_path / where, late, drawn(2), "m8", day=2)
        asked(tmp_path / where, "q4", drawn(3), day=3)
    one, other = of(tmp_path / "one"), of(tmp_path / "other")
    assert {one["reference"], one["candidate"]} == {"r8", "q4"}
    assert {other["reference"], other["candidate"]} == {"a8", "q4"}
    assert [one[k] for k in NUMBERS] == [other[k] for k in NUMBERS]


def test_askings_are_pooled_in_a_paired_t_test_of_each_questions_share(tmp_path):
    for day in (1, 2, 3):
        asked(tmp_path, f"a{day}", drawn(day), "a", day)
    for day in (4, 5):
        asked(tmp_path, f"b{day}", drawn(day), "b", day)
    row = of(tmp_path)
    a, b = (np.mean([drawn(d) for d in days], 0) for days in ((1, 2, 3), (4, 5)))
    expected = ttest_rel(b, a)
    limits = expected.confidence_interval()
    assert row["difference"] == pytest.approx(np.mean(b - a))
    # More cautious than Student's t, and by little.
    assert expected.pvalue <= row["pvalue"] < expected.pvalue + 0.03
    assert limits.low - 0.01 < row["low"] <= limits.low
    assert limits.high <= row["high"] < limits.high + 0.01
    worse = ttest_rel(b + 0.025, a, alternative="greater").pvalue
    assert row["not_worse_p"] == pytest.approx(worse, abs=0.03)
    assert (row["askings_reference"], row["askings_candidate"]) == (3, 2)
    assert row["accuracy_reference"] == pytest.approx(a.mean())
    first = np.array(drawn(1)), np.array(drawn(4))
    assert row["only_reference"] == (first[0] & ~first[1]).sum()


def test_one_asking_each_keeps_mcnemar_and_tango(tmp_path):
    asked(tmp_path, "a", drawn(1))
    asked(tmp_path, "b", drawn(2))
    row = of(tmp_path)
    cells = [row[k] for k in ("both", "only_reference", "only_candidate", "neither")]
    assert row["pvalue"] == statistics.mcnemar(*cells[1:3]).midp
    assert row["not_worse_p"] == statistics.noninferiority(*cells, 0.025)
    assert row["askings_reference"] == row["askings_candidate"] == 1


def test_askings_that_all_agree_leave_the_test_of_the_first(tmp_path):
    for day, name in enumerate(("a1", "a2"), 1):
        asked(tmp_path, name, [True] * 40, "a", day, note=day)
    asked(tmp_path, "b", [True] * 40)
    assert of(tmp_path)["high"] == statistics.paired_difference(40, 0, 0, 0).tango[1]


def test_exams_are_pooled_in_one_family_and_stand_apart_beside_it(tmp_path):
    exams = {2022: planned(40, 116), 2018: planned(40, 112)}
    for i, (exam, questions) in enumerate(exams.items()):
        for j, slug in enumerate("abc"):
            rights = drawn(3 * i + j)
            asked(tmp_path, f"{slug}-{exam}", rights, slug, 1, questions, exam=exam)
    table = igaku.pairs(tmp_path)
    whole, parts = (table[table["family"] == kind] for kind in ("finished", "exams"))
    assert set(whole["exam"]) == {"2018, 2022"} and set(whole["n"]) == {80}
    assert len(whole) == 3 and len(parts) == 6 and set(whole["compared"]) == {3}
    assert parts["adjusted"].isna().all() and parts["pvalue"].notna().all()
    counts = ["both", "only_reference", "only_candidate", "neither"]
    assert whole[counts].sum().equals(parts[counts].sum())
    for _, row in whole.iterrows():
        test = statistics.mcnemar(row["only_reference"], row["only_candidate"])
        assert row["pvalue"] == test.midp
    (gate,) = igaku.study.gates(tmp_path).query("family == 'finished'").itertuples()
    assert (gate.n, gate.exam) == (80, "2018, 2022")


def test_exams_with_other_settings_or_other_variants_stay_apart(tmp_path):
    for exam, number, budget in ((2022, 116, 1024), (2018, 112, 4096)):
        for slug in "ab":
            asked(
                tmp_path, f"{slug}-{exam}", drawn(exam), slug, 1,
                planned(40, number), exam=exam, max_tokens=budget,
            )  # fmt: skip
    kinds = igaku.pairs(tmp_path)["family"]
    assert kinds.tolist() == ["finished", "finished"]


def test_repeats_and_exams_are_pooled_together_each_exam_for_itself(tmp_path):
    found = {}
    for exam, number in ((2022, 116), (2018, 112)):
        for slug, times in (("a", 2), ("b", 1 + (exam == 2022))):
            for day in range(1, times + 1):
                seed = exam + 10 * day + (slug == "a")
                # One exam is harder for b: no part of what the questions vary by.
                hard = (exam, slug) == (2018, "b")
                rights = drawn(seed, chance=0.3 if hard else 0.95)
                found.setdefault((exam, slug), []).append(rights)
                asked(
                    tmp_path, f"{slug}-{exam}-{day}", rights, slug, day,
                    planned(40, number), exam=exam,
                )  # fmt: skip
    row = of(tmp_path)
    means = {key: np.mean(rights, axis=0) for key, rights in found.items()}
    d = [means[exam, "a"] - means[exam, "b"] for exam in (2018, 2022)]
    error = np.sqrt(sum(((x - x.mean()) ** 2).sum() for x in d) / 78 / 80)
    whole = np.std(np.concatenate(d), ddof=1) / np.sqrt(80)
    assert error < (row["high"] - row["low"]) / 2 / 1.990847 < min(1.1 * error, whole)
    assert abs(row["difference"]) == pytest.approx(abs(np.concatenate(d).mean()))


def test_noise_and_systematic_flips_are_told_apart(tmp_path):
    base = [i % 4 > 0 for i in range(100)]
    flipped = [right != (i < 10) for i, right in enumerate(base)]  # 10 flip by noise
    lost = [right and i >= 80 for i, right in enumerate(base)]  # 60 by what b is
    for day, rights in ((1, base), (2, flipped)):
        asked(tmp_path, f"a{day}", rights, "a", day)
    for day in (3, 4):
        asked(tmp_path, f"b{day}", lost, "b", day)
    frame = repeats(tmp_path).set_index(["reference", "candidate"])
    a, b = np.mean([base, flipped], axis=0), np.array(lost, dtype=float)
    own, none, both = (frame.loc[k] for k in (("a1",) * 2, ("b3",) * 2, ("a1", "b3")))
    assert own["noise"] == 0.10 and 0.04 < own["noise_low"] < 0.10 < own["noise_high"]
    assert none["noise"] == 0 and none["noise_high"] == pytest.approx(0.037, abs=1e-3)
    assert both["flips"] == pytest.approx(np.mean(a * (1 - b) + b * (1 - a)))
    assert both["noise"] == pytest.approx((0.10 + 0) / 2)
    assert both["systematic"] == pytest.approx(both["flips"] - 0.05)
    assert both["systematic_share"] == pytest.approx(both["systematic"] / both["flips"])
    assert both["systematic_low"] < both["systematic"] < both["systematic_high"]
    assert repeats(tmp_path).equals(repeats(tmp_path))


def test_who_was_asked_once_has_no_noise_on_record(tmp_path):
    asked(tmp_path, "a", drawn(1))
    asked(tmp_path, "b", drawn(2))
    assert repeats(tmp_path).empty


def test_two_askings_of_two_variants_tell_the_systematic_share_to_006_008():
    generator, n, shares, moved = np.random.default_rng(1), 400, [], 0.04
    difficulty = generator.beta(0.386, 0.158, 10**6)
    noise_share = np.mean(2 * difficulty * (1 - difficulty))
    systematic = moved * np.mean((1 - 2 * difficulty) ** 2)
    for _ in range(60):
        p = generator.choice(difficulty, n)
        q = np.where(generator.random(n) < moved, 1 - p, p)
        a, b = generator.binomial(2, p), generator.binomial(2, q)
        shares.append(
            statistics.flip_parts(a, [2] * n, b, [2] * n).systematic_share.estimate
        )
    truth = systematic / (noise_share + systematic)
    assert np.mean(shares) == pytest.approx(truth, abs=0.03) and 0.1 < truth < 0.3
    assert 0.05 < np.std(shares) < 0.09


TABLES = st.tuples(st.integers(2, 60), st.integers(1, 3), st.integers(2, 4))


@given(TABLES, st.integers(0, 2**32 - 1))
def test_limits_and_p_values_are_the_same_statement(shape, seed):
    n, k, m = shape
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, k + 1, n), generator.integers(0, m + 1, n)
    found, margin = statistics.mean_difference(a, [k] * n, b, [m] * n, 0.1), 0.1
    if np.isnan(found.error):
        return
    assert found.low <= found.estimate <= found.high
    assert (found.pvalue < 0.05) == (found.low > 0 or found.high < 0)
    assert (found.not_worse_p < 0.025) == (found.high < margin)
    back = statistics.mean_difference(b, [m] * n, a, [k] * n, 0.1)
    assert back.pvalue == pytest.approx(found.pvalue)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_a_loss_that_few_questions_bear_is_not_missed_too_often():
    generator, n, wrong, t_wrong = np.random.default_rng(4), 400, 0, 0
    for _ in range(2000):
        p = generator.beta(0.386, 0.158, n)
        q = np.where(generator.random(n) < 0.025 * 0.544 / 0.386, 0, p)
        a, b = generator.binomial(10, p), generator.binomial(10, q)
        found = statistics.mean_difference(a, [10] * n, b, [10] * n, 0.025)
        wrong += found.not_worse_p < 0.025
        t_wrong += ttest_rel(a / 10 - 0.025, b / 10, alternative="less").pvalue < 0.025
    assert wrong / 2000 < 0.035 < 0.036 < t_wrong / 2000 + 0.006


REVIEW = {
    0: (0.26, 0.45, 0.62, 0.83, 0.96, 0.98),
    0.10: (0.27, 0.44, 0.56, 0.70, 0.81, 0.85),
    0.22: (0.26, 0.39, 0.48, 0.57, 0.64, 0.67),
    0.40: (0.25, 0.35, 0.40, 0.45, 0.48, 0.50),
    1: (0.26, 0.26, 0.26, 0.26, 0.26, 0.26),
}  # simulated 4,000 times each: the standard error is 0.008 at most


def test_the_plan_is_what_simulation_found():
    table = plan(0.145, 400).pivot(
        index="systematic", columns="repeats", values="power"
    )
    for f, powers in REVIEW.items():
        assert table.loc[f].tolist() == pytest.approx(powers, abs=0.025)
    five = plan(0.145, 400, systematic=[0, 0.4], repeats=[1, 2], exams=[5])
    assert five["power"].tolist() == pytest.approx([0.85, 0.99, 0.83, 0.95], abs=0.025)


def test_the_plan_says_where_no_number_of_repeats_would():
    found = plan(0.145, 400, repeats=[1]).set_index("systematic")
    assert found["fewest"].fillna(0).tolist() == [5, 8, 0, 0, 0]
    assert (found["ceiling"] >= 0.8).tolist() == [True, True, False, False, False]
    strict = plan(0.145, 400, repeats=[1], pairs=3).set_index("systematic")
    assert strict.loc[0, "fewest"] > 5 and strict.loc[0, "enough"] > 1821
    with pytest.raises(IgakuError, match="fraction such as 0.145"):
        plan(14.5, 400)


def test_the_examples_of_the_module_hold():
    found = doctest.testmod(noise)
    assert found.attempted and not found.failed
