import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import planned, replied, sit

import igaku
from igaku.study.pairs import (
    COLUMNS,
    flips,
    gates,
    grid_of,
    pair_table,
    patterns,
    with_power,
)
from igaku.study.study import open_study


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, shared):
    """The study of the six recorded variants at 1,024 tokens."""
    folder = tmp_path_factory.mktemp("recorded")
    stems = {
        "openai-8bit": "gguf",
        "openai-mxfp4-gguf": "openai-mxfp4-gguf",
        "mlx-community-mxfp4-q8": "mlx-community",
        "mlx-community-mxfp4-q4": "mlx-q4",
        "inferenceillusionist-4bit": "inferenceill",
        "safeguard-mxfp4": "safeguard",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
        for slug, stem in stems.items():
            files = sorted((shared / "data/recorded").glob(f"gpt-oss-20b-{stem}_2022*"))
            igaku.import_recorded(files, folder, slug)
    return open_study(folder, lang="en")


MIXED = [True, False, True, False]


def pair(table, a, b):
    (row,) = [row for _, row in table.iterrows() if (row["a"], row["b"]) == (a, b)]
    return row


def test_the_recorded_rows_one_and_two(recorded):
    row = pair(pair_table(recorded), "openai-8bit", "openai-mxfp4-gguf")
    assert (row["n"], row["only_a"], row["only_b"]) == (400, 30, 28)
    assert row["exact"] == pytest.approx(0.896, abs=5e-4)
    assert row["midp"] == pytest.approx(0.795, abs=5e-4)
    assert 100 * row["difference"] == pytest.approx(0.5)
    assert row["noninferior"] > 0.025


def test_the_recorded_rows_two_and_three_are_one_model_and_p_is_one(recorded):
    row = pair(pair_table(recorded), "openai-mxfp4-gguf", "mlx-community-mxfp4-q8")
    assert row["flips"] == 0 and row["same_answer"] == row["n"] == 400
    assert row["midp"] == row["exact"] == row["holm"] == 1.0


def test_the_families_of_the_recorded_six(recorded):
    table = pair_table(recorded)
    sizes = table.groupby("kind").size().to_dict()
    assert sizes == {"finished": 3, "stopped": 3, "mixed": 9}
    assert set(table[table["kind"] == "stopped"]["n"]) == {75}
    q4 = pair(table, "openai-8bit", "mlx-community-mxfp4-q4")
    assert q4["n"] == 125 and q4["lost_b"] > 60


def test_cochran_comes_before_the_pairs_and_says_on_how_many_questions(recorded):
    found = {gate.family.kind: gate for gate in gates(recorded)}
    assert found["finished"].n == 400 and found["finished"].q.pvalue > 0.9
    assert found["stopped"].n == 75 and found["stopped"].q.pvalue < 0.001


def test_what_four_hundred_questions_can_see(recorded):
    table = pair_table(recorded)
    row = pair(with_power(table, 0.025), "openai-8bit", "openai-mxfp4-gguf")
    assert row["flip_budget"] == 12
    assert 0.04 < row["power_small"] < 0.07
    assert row["needed"] > 40_000
    assert 100 * row["detectable"] == pytest.approx(5.3, abs=0.05)
    assert row["clusters"] == 370 and row["cluster_se"] > 0


def test_holm_is_over_a_family_and_no_more(recorded):
    table = pair_table(recorded)
    for _, family in table.groupby("kind"):
        assert family["holm"].tolist() == igaku.statistics.holm(family["midp"].tolist())


MARKS = st.lists(st.sampled_from([True, False, None]), min_size=12, max_size=12)


@given(MARKS, MARKS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_are_those_of_the_common_questions(tmp_path_factory, a, b):
    folder = tmp_path_factory.mktemp("pair")
    for name, marks in (("a", a), ("b", b)):
        sit(folder, marks, name, planned(12))
    table = pair_table(open_study(folder))
    common = [(x, y) for x, y in zip(a, b, strict=True) if None not in (x, y)]
    if not common:
        assert table.empty and tuple(table.columns) == COLUMNS
        return
    row = table.iloc[0]
    first, second = (a, b) if row["a"] == "a" else (b, a)
    common = [(x, y) for x, y in zip(first, second, strict=True) if None not in (x, y)]
    assert row["n"] == len(common)
    assert row["both"] == common.count((True, True))
    assert row["only_a"] == common.count((True, False))
    assert row["only_b"] == common.count((False, True))
    assert row["neither"] == common.count((False, False))
    assert row["same_answer"] == row["both"] + row["neither"]


def test_replies_without_an_answer_are_alike_only_by_their_text(tmp_path):
    texts = {"a": ["", "わからない", "x"], "b": ["", "わからない", "y"]}
    for name, contents in texts.items():
        rows = [
            replied(q, False, answer=None, outcome="unparsable", content=text)
            for q, text in zip(planned(3), contents, strict=True)
        ]
        sit(tmp_path, None, name, planned(3), rows=rows)
    assert pair_table(open_study(tmp_path)).iloc[0]["same_answer"] == 1


def test_flips_say_where_which_way_and_whether_a_reply_was_lost(tmp_path):
    a = sit(tmp_path, [True, True, False, True], "a")
    rows = [replied(q, r) for q, r in zip(planned(4), MIXED, strict=True)]
    rows[3] |= {"outcome": "truncated", "content": "", "correct": False}
    b = sit(tmp_path, None, "b", planned(4), rows=rows)
    found = flips(a, b)
    assert found["flip"].tolist() == ["both", "only_a", "only_b", "only_a"]
    assert found["lost"].tolist() == [False, False, False, True]
    assert found["section"].tolist() == ["A"] * 4


def test_patterns_add_up_to_the_questions_that_all_were_asked(recorded):
    found = patterns(recorded.of_role("finished"))
    assert found["questions"].sum() == 400
    assert len(found) == 4  # rows two and three are right on the same questions


def test_vignettes_are_clusters_of_their_own(tmp_path):
    questions = planned(6)
    for question in questions[:3]:
        question["stem"] = questions[0]["problem_id"]
    run = sit(tmp_path, [True] * 6, "a", questions)
    assert len(set(grid_of([run]).cluster.tolist())) == 4
