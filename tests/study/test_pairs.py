import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import planned, replied, sit

import igaku
from igaku.statistics import clustered_error
from igaku.study.families import study_of
from igaku.study.pairs import PAIRS, gates, grid_of, patterns, planning
from igaku.study.runs import find_runs
from igaku.words import LANGUAGES, say


@pytest.fixture(scope="module")
def recorded(recorded_folder):
    """The study of the six recorded variants at 1,024 tokens."""
    return study_of([r for r in find_runs(recorded_folder) if r.budget == 1024])


MIXED = [True, False, True, False]


@pytest.fixture(scope="module")
def table(recorded):
    return igaku.pairs(recorded)


def pair(table, reference, candidate):
    is_it = (table["reference"] == reference) & (table["candidate"] == candidate)
    (row,) = [row for _, row in table[is_it].iterrows()]
    return row


def test_the_columns_are_those_of_the_contract(table):
    assert tuple(table.columns) == PAIRS


def test_the_recorded_rows_one_and_two(table):
    row = pair(table, "openai-8bit", "openai-mxfp4-gguf")
    counts = ("n", "both", "only_reference", "only_candidate", "neither", "flips")
    assert row[list(counts)].tolist() == [400, 256, 30, 28, 86, 58]
    assert row["exact"] == pytest.approx(0.896, abs=5e-4)
    assert row["pvalue"] == pytest.approx(0.7948, abs=5e-5)
    assert 100 * row["difference"] == pytest.approx(-0.5)
    assert [row["low"], row["high"]] == pytest.approx([-0.0432, 0.0331], abs=5e-5)
    assert row["not_worse_p"] == pytest.approx(0.1486, abs=5e-5)
    assert row["margin"] == 0.025 and not row["tainted"]
    assert row["adjusted"] == row["pvalue"]  # the only sound pair of its family
    assert row["clusters"] == 370 and row["cluster_se"] > 0


def test_the_recorded_rows_two_and_three_are_one_model_and_p_is_one(table):
    row = pair(table, "openai-mxfp4-gguf", "mlx-community-mxfp4-q8")
    assert row["flips"] == 0 and row["same_answer"] == row["n"] == 400
    assert row["pvalue"] == row["exact"] == 1.0
    assert row["tainted"] and math.isnan(row["adjusted"])
    assert math.isnan(row["cluster_se"])  # no flip, no knowledge of an error


def test_the_families_of_the_recorded_six(table):
    sizes = table.groupby("family").size().to_dict()
    assert sizes == {"finished": 3, "stopped": 3, "mixed": 9}
    assert list(dict.fromkeys(table["family"])) == ["finished", "stopped", "mixed"]
    assert set(table[table["family"] == "stopped"]["n"]) == {75}
    q4 = pair(table, "openai-8bit", "mlx-community-mxfp4-q4")
    assert q4["n"] == 125 and q4["lost_candidate"] > 60 and q4["difference"] < -0.5


def test_a_study_without_texts_is_compared_as_well(recorded_folder):
    study = study_of(find_runs(recorded_folder, texts=False))
    whole = igaku.pairs(recorded_folder)
    pd.testing.assert_frame_equal(igaku.pairs(study), whole)
    kinds = set(igaku.audit(study).kind)
    assert "identical_replies" in kinds


def test_cochran_comes_before_the_pairs_and_says_on_how_many_questions(recorded):
    # Of the three finished runs one is a copy, and two are a pair.
    (row,) = gates(recorded).itertuples()
    assert (row.family, row.n, row.df, len(row.runs)) == ("stopped", 75, 2, 3)
    assert (row.q_pvalue, row.method) == (pytest.approx(6.1815e-7, rel=1e-4), "exact")


def test_a_copy_is_in_no_gate_and_in_no_pattern(tmp_path):
    for name, wrong in (("a", 3), ("b", 9), ("c", 15)):
        sit(tmp_path, [i >= wrong for i in range(40)], name)
    sound = gates(tmp_path), patterns(tmp_path)
    sit(tmp_path, [i >= 15 for i in range(40)], "copy")
    assert igaku.study.open_study(tmp_path).families[0].runs == ("a", "b", "c", "copy")
    assert gates(tmp_path).equals(sound[0]) and patterns(tmp_path).equals(sound[1])
    assert sound[0]["runs"].tolist() == [("a", "b", "c")]
    rows = igaku.runs(tmp_path)
    assert rows.loc[~rows["counted"], "run"].tolist() == ["copy"]


def test_a_wrong_run_does_not_choose_the_questions_of_those_that_stopped(tmp_path):
    for name, n, period in (("a", 90, 2), ("b", 80, 3), ("c", 70, 5), ("wrong", 40, 7)):
        about = {"identity": {"status": "wrong_model"}} if name == "wrong" else {}
        rights = [i % period > 0 for i in range(n)] + [None] * (400 - n)
        sit(tmp_path, rights, name, planned(), **about)
    table = igaku.pairs(tmp_path)
    assert set(table.loc[~table["tainted"], "n"]) == {70}
    assert set(table.loc[table["tainted"], "n"]) == {40}
    assert gates(tmp_path)[["runs", "n"]].values.tolist() == [[("a", "b", "c"), 70]]


def test_no_difference_is_no_minus_nought(tmp_path):
    for name in "ab":
        sit(tmp_path, [i % 3 > 0 for i in range(20)], name)
    for name in "cd":
        sit(tmp_path, [i % 3 == 0 for i in range(20)], name)
    table = igaku.pairs(tmp_path)[["difference", "low", "high"]]
    assert (table == 0).any(axis=None)
    assert not (np.signbit(table) & (table == 0)).any(axis=None)


def test_what_four_hundred_questions_can_see(table):
    row = pair(planning(table), "openai-8bit", "openai-mxfp4-gguf")
    assert row["flip_budget"] == 12
    assert 0.04 < row["power_small"] < 0.07
    assert row["compared"] == 1 and row["needed"] == 45_522
    assert (row["needed_low"], row["needed_high"]) == (35_748, 57_415)
    assert 100 * row["detectable"] == pytest.approx(5.3, abs=0.05)
    assert row["power_margin"] == pytest.approx(0.251, abs=5e-4)


def test_power_is_at_the_level_of_the_verdict(table):
    row = pair(table, "openai-8bit", "openai-mxfp4-gguf")
    three, fifteen = (planning(table.assign(compared=k)).loc[row.name] for k in (3, 15))
    assert three["needed"] == 60_719
    assert 100 * three["detectable"] == pytest.approx(6.1, abs=0.05)
    assert 100 * fifteen["detectable"] == pytest.approx(7.2, abs=0.05)
    assert three["flip_budget"] < 12 and three["power_margin"] < 0.251


@pytest.mark.parametrize("lang", LANGUAGES)
def test_where_interval_and_verdict_part_the_sentence_says_why(table, lang):
    row = dict(pair(table, "openai-8bit", "openai-mxfp4-gguf"))
    plain = say("read_pair", lang, **row)
    parts = {
        "both": {"low": 0.001, "adjusted": 0.08, "compared": 3},
        "margin": {"low": -0.02, "compared": 3},
        "mid-p": {"high": -0.001, "adjusted": 0.051},
    }
    told = {k: say("read_pair", lang, **row | more) for k, more in parts.items()}
    decides = {"en": "decides", "ja": "優先するのは判定"}[lang]
    assert decides not in plain
    assert [told[k].count(decides) for k in parts] == [2, 1, 1]
    assert "mid-p" in told["mid-p"] and "mid-p" not in told["both"]


def test_holm_is_over_the_sound_pairs_of_a_family_and_no_more(table):
    for _, family in table[~table["tainted"]].groupby("family"):
        for name, own in (
            ("adjusted", "pvalue"),
            ("not_worse_adjusted", "not_worse_p"),
        ):
            assert family[name].tolist() == igaku.statistics.holm(family[own].tolist())
    wrong = table[table["tainted"]]
    assert wrong["adjusted"].isna().all() and wrong["not_worse_adjusted"].isna().all()
    shared = {"mlx-community-mxfp4-q8"}
    pairs = zip(wrong["reference"], wrong["candidate"], strict=True)
    assert all(shared & set(pair) for pair in pairs) and len(wrong) == 5


def test_two_families_of_one_kind_are_adjusted_each_for_itself(tmp_path):
    for budget in (1024, 4096):
        for name, wrong in (("a", 0), ("b", 9), ("c", 20)):
            rights = [i >= wrong for i in range(40)]
            told = {"max_tokens": budget, "slug": name}
            sit(tmp_path, rights, f"{name}{budget}", settings=told)
    table = igaku.pairs(tmp_path).query("family == 'finished'")
    assert len(table) == 6
    for budget in ("1024", "4096"):
        each = table[table["reference"].str.endswith(budget)]
        assert each["adjusted"].tolist() == igaku.statistics.holm(each["pvalue"])


def test_the_margin_and_the_reference_can_be_declared(recorded):
    wide = igaku.pairs(recorded, margin=0.05)
    row = pair(wide, "openai-8bit", "openai-mxfp4-gguf")
    assert row["margin"] == 0.05 and row["not_worse_p"] < 0.025
    assert igaku.pairs(recorded)["margin"].eq(0.025).all()
    turned = igaku.pairs(recorded, reference="openai-mxfp4-gguf")
    row = pair(turned, "openai-mxfp4-gguf", "openai-8bit")
    assert (row["only_reference"], row["only_candidate"]) == (28, 30)
    assert row["difference"] == pytest.approx(0.005)
    with pytest.raises(igaku.IgakuError, match="There is no run x"):
        igaku.pairs(recorded, reference="x")
    with pytest.raises(igaku.IgakuError, match="margin is 0"):
        igaku.pairs(recorded, margin=0)


MARKS = st.lists(st.sampled_from([True, False, None]), min_size=12, max_size=12)


@given(MARKS, MARKS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_are_those_of_the_common_questions(tmp_path_factory, a, b):
    folder = tmp_path_factory.mktemp("pair")
    sat = [sit(folder, m, name, planned(12)) for name, m in (("a", a), ("b", b))]
    table = igaku.pairs(study_of(sat))
    common = [(x, y) for x, y in zip(a, b, strict=True) if None not in (x, y)]
    if not common:
        assert table.empty and tuple(table.columns) == PAIRS
        return
    row = table.iloc[0]
    first, second = (a, b) if row["reference"] == "a" else (b, a)
    common = [(x, y) for x, y in zip(first, second, strict=True) if None not in (x, y)]
    assert row["n"] == len(common)
    assert row["both"] == common.count((True, True))
    assert row["only_reference"] == common.count((True, False))
    assert row["only_candidate"] == common.count((False, True))
    assert row["neither"] == common.count((False, False))
    assert row["same_answer"] == row["both"] + row["neither"]


VIGNETTES = st.lists(st.integers(0, 4), min_size=12, max_size=12)


@given(MARKS, MARKS, VIGNETTES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_errors_of_many_pairs_are_those_of_each_alone(tmp_path_factory, a, b, stems):
    folder = tmp_path_factory.mktemp("pair")
    questions = planned(12)
    for question, stem in zip(questions, stems, strict=True):
        question["stem"] = questions[stem]["problem_id"] if stem else None
    runs = [sit(folder, m, n, questions) for n, m in (("a", a), ("b", b))]
    table = igaku.pairs(study_of(runs))
    if table.empty or not table.loc[0, "flips"]:
        return
    row = table.iloc[0]
    runs.sort(key=lambda run: run.name != row["reference"])
    grid = grid_of(runs)
    both = grid.asked.all(axis=0)
    ahead = grid.right[1, both].astype(int) - grid.right[0, both]
    alone = clustered_error(ahead, grid.cluster[both])
    assert row["clusters"] == alone.clusters
    assert row["difference"] == pytest.approx(alone.mean)
    got = row[["naive_se", "cluster_se", "cluster_low", "cluster_high"]].tolist()
    want = [alone.naive, alone.corrected, alone.low, alone.high]
    assert got == pytest.approx(want, abs=1e-12, nan_ok=True)


def test_replies_without_an_answer_are_alike_only_by_their_text(tmp_path):
    texts = {"a": ["", "わからない", "x"], "b": ["", "わからない", "y"]}
    for name, contents in texts.items():
        rows = [
            replied(q, False, answer=None, outcome="unparsable", content=text)
            for q, text in zip(planned(3), contents, strict=True)
        ]
        sit(tmp_path, None, name, planned(3), rows=rows)
    assert igaku.pairs(tmp_path).iloc[0]["same_answer"] == 1


def test_flips_say_where_which_way_and_whether_a_reply_was_lost(tmp_path):
    sit(tmp_path, [True, True, False, True], "a")
    rows = [replied(q, r) for q, r in zip(planned(4), MIXED, strict=True)]
    rows[3] |= {"outcome": "truncated", "content": "", "answer": None}
    sit(tmp_path, None, "b", planned(4), rows=rows)
    found = igaku.flips(tmp_path, "a", "b")
    assert found["problem_id"].tolist() == ["116A2", "116A3", "116A4"]
    ways = ["only_reference", "only_candidate", "only_reference"]
    assert found["flip"].tolist() == ways
    assert found["lost"].tolist() == [False, False, True]
    assert found["section"].tolist() == ["A"] * 3
    assert found["reference_answer"].tolist() == [("a",), ("b",), ("a",)]
    assert found["candidate_outcome"].tolist() == ["answered", "answered", "truncated"]
    assert found["candidate_content"].tolist() == ["b", "a", ""]
    assert found["gold"].tolist() == [("a",)] * 3


def test_the_recorded_flips_can_be_read_one_by_one(recorded, table):
    found = igaku.flips(recorded, "openai-8bit", "openai-mxfp4-gguf")
    counts = found["flip"].value_counts()
    assert counts.to_dict() == {"only_reference": 30, "only_candidate": 28}
    assert found["gold"].notna().all() and set(found["section"]) == set("ABCDEF")
    with pytest.raises(igaku.IgakuError, match="There is no run x.* openai-8bit, "):
        igaku.flips(recorded, "openai-8bit", "x")


def test_patterns_add_up_to_the_questions_that_all_were_asked(recorded):
    found = patterns(recorded)
    assert found["questions"].sum() == 400
    assert found.shape == (4, 3)  # rows two and three are one run, which counts once
    assert found["questions"].is_monotonic_decreasing
    right = [found.loc[found[name], "questions"].sum() for name in found.columns[:2]]
    assert sorted(right) == [284, 286]


def test_vignettes_are_clusters_of_their_own(tmp_path):
    questions = planned(6)
    for question in questions[:3]:
        question["stem"] = questions[0]["problem_id"]
    run = sit(tmp_path, [True] * 6, "a", questions)
    assert len(set(grid_of([run]).cluster.tolist())) == 4


def test_an_empty_folder_has_no_pairs_and_the_columns_all_the_same(tmp_path):
    assert tuple(igaku.pairs(tmp_path).columns) == PAIRS
    assert igaku.audit(tmp_path).empty and patterns(tmp_path).empty
    assert gates(tmp_path).empty and planning(igaku.pairs(tmp_path)).empty


def test_the_frames_of_a_study_are_asked_for_by_the_name_of_its_folder(tmp_path):
    sit(tmp_path, [True] * 12, "a")
    for ask in (igaku.runs, igaku.pairs, igaku.audit, igaku.walls):
        assert len(ask(outputs_dir=tmp_path)) == len(ask(str(tmp_path)))
    assert igaku.flips(outputs_dir=tmp_path, reference="a", candidate="a").empty


def test_empty_frames_have_the_types_of_full_ones(tmp_path):
    with pytest.warns(UserWarning, match="holds no runs yet"):
        pairs = igaku.pairs(tmp_path)
    assert pairs["tainted"].dtype == bool
    assert pairs["pvalue"].dtype == float
    with pytest.warns(UserWarning, match="holds no runs yet"):
        alarms = igaku.audit(tmp_path)
    assert alarms["overturns"].dtype == bool
    assert alarms["grave"].dtype == bool


@pytest.mark.parametrize("margin", ["2,5", 2, True, 0])
def test_a_margin_that_is_no_fraction_is_a_sentence(tmp_path, margin):
    sit(tmp_path, [True] * 12, "a")
    with pytest.raises(igaku.IgakuError, match="give a fraction such as"):
        igaku.pairs(tmp_path, margin=margin)
