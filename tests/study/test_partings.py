"""Where two replies part: laws, constructed replies, recorded runs, the lab's own."""

import dataclasses
import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replies import answer, blank, cut

from igaku.ask import run
from igaku.errors import IgakuError
from igaku.lab.engines import missing_engine
from igaku.lab.serve import serving
from igaku.params.settings import settings_from
from igaku.statistics import precedence, ranks
from igaku.study import parting
from igaku.study.families import study_of
from igaku.study.parting import PARTINGS, partings

TEXTS = st.text("ab", max_size=9)


@pytest.mark.parametrize("module", [parting, ranks])
def test_the_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


@given(TEXTS, TEXTS, TEXTS)
def test_what_stands_before_the_parting_is_common_and_the_next_is_not(head, a, b):
    told = parting.parted(head + a, head + b, (False, False))
    assert told["parted"] == (a != b)
    if told["parted"]:
        at = told["parted_at"]
        assert at > len(head)
        assert (head + a)[: at - 1] == (head + b)[: at - 1]
        assert (head + a)[at - 1 : at] != (head + b)[at - 1 : at]
    assert told["share"] is None or 0 <= told["share"] <= 1


@given(TEXTS, TEXTS)
def test_a_reply_that_was_cut_has_not_parted_from_what_goes_on(head, rest):
    assert not parting.parted(head + rest, head, (False, True))["parted"]
    assert not parting.parted(head, head + rest, (True, False))["parted"]


def two(run_of, first, second, **settings):
    told = {"temperature": 0.0} | settings
    return study_of([run_of(first, "a", **told), run_of(second, "b", **told)])


def test_partings_are_one_row_per_question_with_its_fate(run_of):
    first = [answer(n, reasoning="まず b か a", content="a") for n in range(1, 6)]
    second = [
        answer(1, reasoning="まず b か a", content="a"),
        answer(2, reasoning="まず c か a", content="c", answer=["c"], correct=False),
        cut(3, reasoning="まず b か"), cut(4, reasoning="まず、"),
        answer(5, reasoning="まず b か a", content="a", prompt_sha256="other"),
    ]  # fmt: skip
    found = partings(two(run_of, first, second), "a", "b").set_index("problem_id")
    assert found.index.tolist() == ["900A1", "900A2", "900A3", "900A4"]
    assert found["parted"].tolist() == [False, True, False, True]
    assert found["parted_at"].fillna(0).tolist() == [0, 4, 0, 3]
    assert found["flip"].fillna("").tolist() == ["", *["only_reference"] * 3]
    assert found["silent"].tolist() == ["neither"] * 2 + ["candidate"] * 2
    assert found["share"].tolist() == pytest.approx([1, 3 / 10, 6 / 10, 2 / 10])
    assert set(found["unit"]) == {"character"}


def test_an_answer_that_comes_where_the_other_still_thinks_has_parted(run_of):
    pair = answer(1, reasoning="b?"), answer(1, reasoning="b? no, c")
    (row,) = partings(two(run_of, *([each] for each in pair)), "a", "b").itertuples()
    assert (row.parted, row.parted_at) == (True, 3)


@pytest.mark.parametrize("key", ["id", "token"])
def test_tokens_are_counted_where_the_server_told_them(run_of, key):
    def told(*tokens):
        content = [{key: token, "logprob": -0.1} for token in tokens]
        return {"choices": [{"index": 0, "logprobs": {"content": content}}]}

    first = [answer(1, raw=told("61", "a", "8"))]
    second = [answer(1, raw=told("61", "a", "9"), reasoning="61a9")]
    (row,) = partings(two(run_of, first, second), "a", "b").itertuples()
    assert (row.unit, row.parted_at, row.length_reference) == ("token", 3, 3)


@pytest.mark.parametrize(
    "body", [None, "x", [], {"choices": []}, {"choices": {0: {}}},
             {"choices": [{"logprobs": {"content": 3}}]},
             {"choices": [{"logprobs": {"content": ["x", 1]}}]}],
)  # fmt: skip
def test_a_body_of_any_shape_has_tokens_or_none(body):
    assert parting.tokens_of(body) == []


def test_nothing_is_laid_beside_a_clipped_text(run_of):
    long = "肺炎か。" * 125
    about = {"clipped": {"response": 0, "reasoning": 1}}
    runs = [
        run_of([answer(1, reasoning=long)], name, about=about, temperature=0)
        for name in ("a", "b")
    ]
    assert partings(study_of(runs), "a", "b").empty
    with pytest.raises(IgakuError, match="no run c"):
        partings(study_of(runs), "a", "c")


@pytest.mark.parametrize("temperature", [0.7, None])
def test_replies_that_were_drawn_by_chance_part_by_chance(run_of, temperature):
    rows = [answer(1), blank(2, reasoning="b")]
    study = two(run_of, rows, rows, temperature=temperature)
    assert partings(study, "a", "b").empty


def test_no_recorded_run_can_be_laid_beside_another(recorded_folder):
    found = partings(recorded_folder, "openai-8bit", "mlx-community-mxfp4-q4")
    assert found.empty and list(found) == list(PARTINGS)


def test_the_labs_two_engines_tell_where_they_part(tmp_path):
    slugs = {"lab-mxfp4-q8": 8, "lab-mxfp4-q4": 4}
    for slug in slugs:
        if reason := missing_engine(slug):
            pytest.skip(f"{slug} cannot be served here: {reason}")
        with serving(slug) as server:
            settings = settings_from(
                model=slug, limit=6, outputs_dir=str(tmp_path), run=slug,
                max_tokens=128, extra_body={"logprobs": True},
            )  # fmt: skip
            settings = dataclasses.replace(settings, base_url=server.base_url)
            run.run_exam(settings, run.questions_of(settings), progress=False)
    found = partings(tmp_path, *slugs)
    assert len(found) == 6
    assert set(found["unit"]) == {"token"}
    assert (found["length_reference"] > 10).all()
    assert found.loc[~found["parted"], "share"].eq(1).all()
    alone = partings(tmp_path, "lab-mxfp4-q4", "lab-mxfp4-q4")
    assert not alone["parted"].any()


# --- which comes first ----------------------------------------------------------------


def test_what_always_comes_first_has_an_interval_that_is_no_point():
    told = precedence([1, 2, 3], [7, 8, 9, 10])
    assert told.estimate == told.high == 1 and 0.5 < told.low < 1
    less = precedence([1, 2, 3] * 9, [7, 8, 9, 10] * 9)
    assert less.low > told.low and less.pvalue < told.pvalue


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_exchanged_groups_mirror_the_chance_and_its_limits(a, b):
    one, other = precedence(a, b), precedence(b, a)
    assert one.estimate == pytest.approx(1 - other.estimate)
    assert one.low == pytest.approx(1 - other.high, abs=1e-6)
    wins = np.mean([(x < y) + (x == y) / 2 for x in a for y in b])
    assert one.estimate == pytest.approx(wins)
    assert 0 <= one.low <= one.estimate <= one.high <= 1


def test_groups_that_are_alike_are_rarely_said_to_differ():
    rng = np.random.default_rng(5)
    drawn = [precedence(rng.random(12), rng.random(20)) for _ in range(400)]
    held = np.mean([each.low <= 0.5 <= each.high for each in drawn])
    assert 0.92 < held < 0.985


def test_an_empty_group_tells_nothing():
    told = precedence([], [1, 2])
    assert np.isnan(told.estimate) and (told.n, told.others) == (0, 2)
