"""Designs of models, efforts and budgets: which runs they are, and what they say."""

import pandas as pd
import pytest
from runs import planned, replied, sit

import igaku
from igaku.statistics import holm, mcnemar, paired_difference
from igaku.study.families import study_of

N = 20
# How many of 20 questions each condition loses; the first ones, and the rest are right.
LOST = {
    ("q8", "low", 48): 0, ("q8", "high", 48): 18, ("q8", "low", 192): 0,
    ("q8", "high", 192): 1, ("q4", "low", 48): 0, ("q4", "high", 48): 20,
    ("q4", "low", 192): 0, ("q4", "high", 192): 1,
}  # fmt: skip


def run_of(tmp_path, place, lost, n=N, first=0, **more):
    """A run that loses its first questions to the budget, and has the others right."""
    model, effort, budget = place
    questions = planned(first + n)[first:]
    own, cut = (
        {"served_model": model},
        {"outcome": "truncated", "answer": None, "content": "", "correct": False},
    )
    cut |= {"finish_reason": "length", "completion_tokens": budget}
    rows = [
        replied(q, **own, **cut)
        if i < lost
        else replied(q, **own, completion_tokens=20)
        for i, q in enumerate(questions)
    ]
    settings = {"slug": model, "model": model, "exam": 2022, "max_tokens": budget}
    settings |= {"reasoning_effort": effort} | more
    name = "-".join(map(str, (*place, n, *more.values())))
    card = {"label": model.upper(), "size_gb": {"q8": 12.8, "q4": 11.9}[model]}
    return sit(tmp_path, [], name, questions, card=card, settings=settings, rows=rows)


@pytest.fixture
def crossing(tmp_path):
    """The runs of a whole crossing of two models, efforts and budgets."""
    return [run_of(tmp_path, place, lost) for place, lost in LOST.items()]


def test_a_crossing_is_told_cell_by_cell(crossing):
    found = igaku.study.crossed(study_of(crossing))
    told = found.set_index(["model", "effort", "budget"])["lost"].to_dict()
    assert told == LOST
    assert (found["n"] == N).all() and set(found["design"]) == {1}
    assert (found["right"] == N - found["lost"]).all()
    assert (
        (found["low"] <= found["lost_share"]) & (found["lost_share"] <= found["high"])
    ).all()


def test_each_contrast_changes_one_factor_on_the_same_questions(crossing):
    found = igaku.study.contrasts(study_of(crossing))
    assert found["factor"].value_counts().to_dict() == {
        "model": 4, "effort": 4, "budget": 4
    }  # fmt: skip
    for row in found.itertuples():
        a, b = row.run_a.split("-")[:3], row.run_b.split("-")[:3]
        parted = [
            name
            for name, *pair in zip(("model", "effort", "budget"), a, b, strict=True)
            if pair[0] != pair[1]
        ]
        assert parted == [row.factor]
        assert row.n == N


def test_the_numbers_are_those_of_the_paired_statistics(crossing):
    found = igaku.study.contrasts(study_of(crossing))
    runs = found.set_index(["run_a", "run_b"])
    row = runs.loc[("q8-high-48-20", "q4-high-48-20")].to_dict()
    assert (row["lost_a"], row["lost_b"], row["fixed"]) == (18, 20, ("high", "48"))
    expected = paired_difference(18, 2, 0, 0)
    assert row["difference"] == pytest.approx(0.1) == expected.estimate
    assert (row["low"], row["high"]) == pytest.approx(expected.tango)
    assert row["right_difference"] == pytest.approx(-0.1)
    of_models = found[found["factor"] == "model"]
    assert row["pvalue"] == mcnemar(2, 0).midp
    assert of_models["adjusted"].tolist() == pytest.approx(
        holm(of_models["pvalue"].tolist())
    )


def test_effort_and_budget_are_shown_and_the_bits_are_not(crossing):
    found = igaku.study.decided(study_of(crossing))
    lost = found[found["measure"] == "lost"].set_index(["factor", "a", "b"])
    assert lost["shown"].to_dict() == {
        ("model", "Q8", "Q4"): 0,
        ("effort", "low", "high"): 2,
        ("budget", "48", "192"): 2,
    }  # fmt: skip
    effort = lost.loc[("effort", "low", "high")]
    assert (effort["before"], effort["after"], effort["fixed"]) == (0, 20, ("Q4", "48"))
    assert lost.loc[("model", "Q8", "Q4"), "most"] > 0.1


def test_a_crossing_of_other_questions_joins_no_family_and_raises_no_alarm(
    crossing, tmp_path
):
    seed = [run_of(tmp_path, (m, "low", 48), 0, n=30) for m in ("q8", "q4")]
    study = study_of([*seed, *crossing])
    assert study.aside == {run.name for run in crossing}
    assert {*igaku.pairs(study)["reference"]} | {*igaku.pairs(study)["candidate"]} == {
        run.name for run in seed
    }
    kinds = set(igaku.audit(study)["kind"])
    assert not kinds & {"other_settings", "other_effort"}
    assert len(igaku.study.contrasts(study)) == 12


def test_the_crossing_of_the_study_itself_stands_with_it(crossing):
    study = study_of(crossing)
    assert not study.aside
    assert {"other_settings", "other_effort"} <= set(igaku.audit(study)["kind"])


def test_models_asked_once_each_are_no_design(tmp_path):
    runs = [run_of(tmp_path, (m, e, 48), 0) for m, e in (("q8", "low"), ("q4", None))]
    study = study_of(runs)
    assert igaku.study.crossed(study).empty and igaku.study.contrasts(study).empty
    assert igaku.study.decided(study).empty and not study.aside


def test_another_setting_or_other_questions_make_another_design(crossing, tmp_path):
    odd = run_of(tmp_path, ("q4", "medium", 48), 0, temperature=1.0)
    few = run_of(tmp_path, ("q4", "medium", 48), 0, n=5)
    found = igaku.study.crossed(study_of([*crossing, odd, few]))
    assert not {odd.name, few.name} & set(found["run"])


def test_a_cell_asked_twice_counts_once_by_the_longer_run(crossing, tmp_path):
    place = ("q8", "low", 48)
    again = run_of(tmp_path, place, 3, seed=None)
    found = igaku.study.crossed(study_of([*crossing, again]))
    assert not found.duplicated(["model", "effort", "budget"]).any()


def test_an_effort_that_was_not_told_is_called_default(tmp_path):
    runs = [run_of(tmp_path, ("q8", effort, 48), 0) for effort in ("low", None)]
    found = igaku.study.contrasts(study_of(runs))
    assert found[["factor", "a", "b"]].to_numpy().tolist() == [
        ["effort", "default", "low"]
    ]


def test_frames_without_runs_have_their_columns():
    for name in ("crossed", "contrasts", "decided"):
        found = getattr(igaku.study, name)(study_of([]))
        assert isinstance(found, pd.DataFrame) and len(found.columns) and found.empty
