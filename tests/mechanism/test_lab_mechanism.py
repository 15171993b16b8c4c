"""The mechanism's effects and sentences, on replies made up to have known answers."""

import pandas as pd
import pytest

from igaku.errors import IgakuError
from igaku.mechanism import mechanism, mechanism_page

BUDGET = 100


def replies(component, bits, tokens, correct=True, finished=True, n=40):
    return pd.DataFrame(
        {
            "component": component,
            "bits": bits,
            "problem_id": [f"900A{i}" for i in range(1, n + 1)],
            "tokens": tokens,
            "correct": correct,
            "finished": finished,
            "reached_final": finished,
            "text": "<|channel|>analysis<|message|>" + "<b>ab</b>" * 3,
        }
    )


@pytest.fixture
def measured():
    return pd.concat(
        [
            replies("reference", None, 60),
            replies("experts", 2, 60),
            replies("attention", 2, 300, correct=False, finished=False),
            replies("router", 2, 120),
            replies("non-experts", 2, 200, correct=False),
        ],
        ignore_index=True,
    )


def test_a_component_that_ruins_every_reply_is_shown_to_break(measured):
    experts, attention, router, _ = mechanism.effects(measured, BUDGET)
    assert not experts.breaks
    assert experts.loss == 0
    assert attention.breaks
    assert (attention.loss, attention.unfinished, attention.blank) == (1.0, 40, 40)
    assert attention.lengthens
    assert attention.longer == 240
    # Right and finished, but only after the budget: cut, and rescued by a larger one.
    assert (router.blank, router.unfinished, router.right) == (40, 0, 0)


def test_a_smaller_budget_can_be_looked_at_afterwards(measured):
    assert [e.right for e in mechanism.effects(measured, 200)] == [40, 0, 40, 0]
    assert [e.right for e in mechanism.effects(measured, 59)] == [0, 0, 0, 0]


def test_no_loss_is_reported_as_not_shown_and_never_as_the_same():
    kinds = ("experts", "non-experts")
    quiet = pd.concat(
        [replies("reference", None, 60), *(replies(kind, 2, 60) for kind in kinds)]
    )
    found = mechanism.effects(quiet, BUDGET)
    text = mechanism_page.part_findings(quiet, found, BUDGET, "en").text
    assert "matters more is not shown" in text
    assert "shown for none" in text
    assert "negligible" not in text


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_every_piece_of_the_page_can_be_shown(measured, lang):
    found = mechanism.effects(measured, BUDGET)
    pieces = (
        mechanism_page.reference_line(measured, BUDGET, lang),
        mechanism_page.effect_table(found, lang),
        mechanism_page.part_findings(measured, found, BUDGET, lang),
        mechanism_page.blank_findings(found, BUDGET, lang),
        mechanism_page.recipe_findings(found, lang),
        mechanism_page.effort_table(measured.assign(effort="low"), BUDGET, lang),
        mechanism_page.sample(measured, found, lang),
    )
    assert all(piece.text for piece in pieces)
    assert "<b>ab" not in pieces[-1].html
    figures = (
        mechanism_page.dose_figure(found, lang),
        mechanism_page.budget_figure(measured, found, BUDGET, lang),
    )
    assert all(figure.png.startswith(b"\x89PNG") for figure in figures)


LENGTHS = {"low": 30, "medium": 60, "high": 150}


def at_every_effort():
    return pd.concat(
        [replies("reference", None, n).assign(effort=e) for e, n in LENGTHS.items()]
    )


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_what_was_found_stands_in_one_table(measured, lang):
    made = mechanism_page.Experiment(
        measured, measured, at_every_effort(), BUDGET, lang
    )
    text = mechanism_page.findings_table(made).text
    answers = [line.split(" | ")[1] for line in text.splitlines() if " | " in line]
    assert len(answers) == 8  # a heading and seven questions
    worst = {"ja": "100 点", "en": "100 points"}[lang]
    assert worst in text  # the loss of attention at 2 bits, computed
    assert ("n=40" in text) and ("20B" in text)


def test_a_broken_reply_is_held_against_the_reference_letter_by_letter(measured):
    found = mechanism.effects(measured, BUDGET)
    measured.loc[measured["component"] == "attention", "text"] = "<|channel|>ana?"
    text = mechanism_page.sample(measured, found, "en").text
    assert f"for {len('<|channel|>ana')} of its" in text
    assert "within the 300 tokens" in text


def test_effects_need_a_reference():
    with pytest.raises(IgakuError, match="reference"):
        mechanism.effects(replies("experts", 2, 60), BUDGET)


def test_the_seeds_claim_is_tested_on_the_same_questions(measured):
    gap = mechanism.experts_against_rest(measured, 2, BUDGET)
    assert gap.estimate == 1.0
    assert gap.tango[0] > 0.8


def test_efforts_are_compared_for_the_worst_case_beside_its_experts(measured):
    chosen = mechanism_page.worst_cases(mechanism.effects(measured, BUDGET))
    assert [a.component for a in chosen] == ["reference", "attention", "experts"]


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_what_effort_does_is_a_computed_sentence(lang):
    text = mechanism_page.effort_finding(at_every_effort(), BUDGET, lang).text
    assert "120" in text
    assert "high 40" in text
    assert ("is shown" in text) == (lang == "en")


def test_the_recipes_published_as_broken_come_from_the_params():
    assert mechanism_page.broken_recipes() == {"mxfp4-q4", "mlx-4bit", "all-mxfp4"}
