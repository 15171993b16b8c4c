"""The mechanism's effects and sentences, on replies made up to have known answers."""

import pandas as pd
import pytest

from igaku.errors import IgakuError
from igaku.mechanism import contrasts
from igaku.mechanism.ablation import Ablation
from igaku.words import printed, say

BUDGET = 100


def replies(
    component, bits, tokens, correct=True, finished=True, effort="medium", n=40
):
    return pd.DataFrame(
        {
            "effort": effort,
            "component": component,
            "bits": pd.array([bits] * n, dtype="Int64"),
            "problem_id": [f"900A{i}" for i in range(1, n + 1)],
            "tokens": tokens,
            "finished": finished,
            "stated": finished,
            "correct": correct,
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


def test_a_part_that_ruins_every_reply_is_shown_to_break(measured):
    found = contrasts.effects(measured, BUDGET)
    assert list(found["component"]) == ["experts", "attention", "router", "non-experts"]
    experts, attention, router, _ = found.itertuples()
    assert experts.difference == 0 < experts.high
    assert attention.high < 0
    assert (attention.difference, attention.only_reference) == (-1.0, 40)
    assert (attention.blank, attention.never) == (1.0, 1.0)
    assert attention.longer_low == attention.longer == 240
    # Right and finished, but only after the budget: cut, and rescued by a larger one.
    assert (router.blank, router.never, router.right) == (1.0, 0.0, 0)


def test_every_interval_holds_with_the_others(measured):
    found = contrasts.effects(measured, BUDGET)
    assert set(found["confidence"]) == {1 - 0.05 / 4}
    alone = contrasts.effects(measured[measured["component"] != "router"], BUDGET)
    assert alone["low"].iloc[0] > found["low"].iloc[0]


def test_a_smaller_budget_can_be_looked_at_afterwards(measured):
    assert list(contrasts.effects(measured, 200)["right"]) == [40, 0, 40, 0]
    assert list(contrasts.effects(measured, 59)["right"]) == [0, 0, 0, 0]


def test_effects_need_a_reference(measured):
    with pytest.raises(IgakuError, match="reference"):
        contrasts.effects(replies("experts", 2, 60), BUDGET)
    with pytest.raises(IgakuError, match="reference"):
        contrasts.effects(replies("reference", None, 60), BUDGET)
    elsewhere = replies("experts", 2, 60, effort="high")
    with pytest.raises(IgakuError, match="reference"):
        contrasts.effects(pd.concat([measured, elsewhere]), BUDGET)


def test_each_effort_has_its_own_reference(measured):
    high = pd.concat(
        [replies("reference", None, 90), replies("experts", 2, 91)]
    ).assign(effort="high")
    found = contrasts.effects(pd.concat([measured, high]), BUDGET)
    assert found.query("effort == 'high'")["longer"].tolist() == [1.0]


def test_the_seeds_claim_is_tested_on_the_same_questions(measured):
    judged = contrasts.at_budget(measured, BUDGET)
    gap = contrasts.difference(
        judged[judged["component"] == "experts"],
        judged[judged["component"] == "non-experts"],
        "right",
    ).iloc[0]
    assert (gap["component"], gap["bits"], gap["n"]) == ("experts", 2, 40)
    assert (gap["difference"], gap["only_candidate"]) == (1.0, 40)
    assert gap["low"] > 0.8


def test_two_replies_to_one_question_cannot_be_paired(measured):
    rows = contrasts.at_budget(replies("experts", 2, 60), BUDGET)
    with pytest.raises(pd.errors.MergeError):
        contrasts.difference(pd.concat([rows, rows]), rows, "right")


def test_efforts_are_compared_for_the_worst_case_beside_its_experts(measured):
    chosen = contrasts.worst_cases(contrasts.effects(measured, BUDGET))
    assert chosen == [Ablation(), Ablation("attention", 2), Ablation("experts", 2)]


def test_a_lost_reply_is_held_against_the_reference_letter_by_letter(measured):
    is_lost = measured["component"] == "attention"
    measured.loc[is_lost, "text"] = "<|channel|>ana?"
    found = contrasts.specimens(measured, BUDGET).query("component == 'attention'")
    assert len(found) == 40
    assert set(found["ending"]) == {"cut"}
    assert set(found["shared"]) == {len("<|channel|>ana")}
    assert set(found["tokens"]) == {300}


def test_a_reply_that_ended_by_itself_is_no_specimen_of_the_budget(measured):
    header = replies("embedding", 2, 73, correct=False).assign(stated=False)
    found = contrasts.specimens(pd.concat([measured, header]), BUDGET)
    endings = found.groupby("component")["ending"].agg(set)
    assert endings["embedding"] == {"header"}
    assert endings["attention"] == endings["router"] == {"cut"}
    assert found.groupby("component")["stated"].all().to_dict() == {
        "attention": False, "embedding": False, "non-experts": True, "router": True,
    }  # fmt: skip
    assert "experts" not in endings


def test_the_recipes_published_as_broken_come_from_the_params():
    assert contrasts.broken_recipes() == {"mxfp4-q4", "mlx-4bit", "all-mxfp4"}


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_case_has_a_name_in_each_language(measured, lang):
    names = contrasts.named(contrasts.effects(measured, BUDGET), lang)
    assert names[0] == {"en": "experts, 2-bit", "ja": "エキスパート（2ビット）"}[lang]
    whole = pd.DataFrame({"component": ["mlx-4bit"], "bits": [pd.NA]})
    assert contrasts.named(whole, lang) == ["mlx-4bit"]


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_what_a_model_wrote_is_shown_and_never_obeyed(measured, lang):
    page = printed(contrasts.specimens(measured, BUDGET).head(1), lang).to_html()
    assert "&lt;b&gt;ab" in page
    assert "<b>ab" not in page


# --- sentences ------------------------------------------------------------------------

NUMBERS = {
    "case": "all, 2-bit", "difference": -0.67, "low": -0.79, "high": -0.52, "n": 100,
    "rest": 19, "longer": 23.5, "longer_low": 10.0, "longer_high": 40.3, "bits": 2,
    "budget": 128, "cap": 320, "blank": 0.2, "blank_low": 0.133, "blank_high": 0.289,
    "never": 0.07, "confidence": 0.9976, "cases": 21,
}  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_no_loss_is_reported_as_not_shown_and_never_as_the_same(lang):
    told = [
        say("mechanism_breaks", lang, **NUMBERS, shown=[]),
        say("mechanism_lengthens", lang, **NUMBERS, shown=[]),
        say("mechanism_experts", lang, **NUMBERS),
        say("mechanism_recipes", lang, **NUMBERS, shown=[], broken=["mlx-4bit 0/100"]),
    ]
    for text in told[:3]:
        assert {"en": "shown", "ja": "示されませんでした"}[lang] in text
        assert "negligible" not in text
    assert ("not shown" in told[2]) == (lang == "en")
    assert "mlx-4bit 0/100" in told[3]


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_loss_is_reported_with_its_interval_and_sign(lang):
    text = say("mechanism_breaks", lang, **NUMBERS, shown=["all, 2-bit"])
    assert "all, 2-bit" in text
    for number in ("−67.0", "−79.0", "−52.0", "n = 100", "19"):
        assert number in text
    longer = say("mechanism_lengthens", lang, **NUMBERS, shown=["all, 2-bit"])
    assert ("24" in longer) and ("10" in longer) and ("40" in longer)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_blank_replies_are_parted_by_what_a_larger_budget_brings(lang):
    text = say("mechanism_budget", lang, **NUMBERS)
    for number in ("128", "20", "100", "13.3%", "28.9%", "320", "13", "7"):
        assert number in text
    none = say("mechanism_budget", lang, **(NUMBERS | {"blank": 0.0}))
    assert "20" not in none


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_limits_say_of_what_the_numbers_speak(lang):
    text = say("mechanism_limits", lang, **NUMBERS)
    for fact in ("21", "99.76%", "n = 100", "20B"):
        assert fact in text


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_what_effort_does_is_a_computed_sentence(lang):
    rows = pd.concat(
        replies("reference", None, tokens, effort=effort)
        for effort, tokens in {"low": 30, "medium": 60, "high": 150}.items()
    )
    judged = contrasts.at_budget(rows, BUDGET)
    high, low = (judged[judged["effort"] == each] for each in ("high", "low"))
    gap = contrasts.difference(high, low, "blank").iloc[0]
    blanks = judged.groupby("effort", sort=False)["blank"].sum().to_dict()
    assert blanks == {"low": 0, "medium": 0, "high": 40}
    numbers = {"budget": BUDGET, "blanks": blanks, "longer": 120.0}
    text = say("mechanism_effort", lang, **numbers, **gap)
    for number in ("120", "high 40", "+100.0", "n = 40"):
        assert number in text
    assert ("is shown" in text) == (lang == "en")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_blank_replies_are_counted_by_how_they_ended(lang):
    numbers = {"budget": 128, "cut": 21, "later": 13, "headers": 11}
    text = say("mechanism_specimens", lang, **numbers)
    assert all(str(number) in text for number in numbers.values())
    none = say("mechanism_specimens", lang, **(numbers | {"cut": 0, "later": 0}))
    assert ("21" not in none) and ("11" in none)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_reference_is_described_with_its_interval(lang):
    text = say(
        "mechanism_reference", lang, right=100, n=100, budget=128, low=0.963,
        high=1.0, mean=55.35, longest=115,
    )  # fmt: skip
    for number in ("100.0%", "96.3%", "55.4", "115", "128"):
        assert number in text
