"""The mechanism's effects and sentences, on replies made up to have known answers."""

import pandas as pd
import pytest

import igaku
from igaku.errors import IgakuError
from igaku.exam.questions import load_exam
from igaku.lab.engines import missing_writer
from igaku.mechanism import contrasts
from igaku.mechanism.ablation import Ablation
from igaku.study.parting import PARTINGS
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


def test_what_a_larger_budget_brings_back_is_counted_by_what_it_is(measured):
    found = contrasts.rescues(measured, BUDGET).set_index("component")
    names = ["blank", "rescued", "finished_wrong", "never"]
    assert found[names].T.to_dict("list") == {
        "reference": [0, 0, 0, 0], "experts": [0, 0, 0, 0],
        "attention": [40, 0, 0, 40], "router": [40, 40, 0, 0],
        "non-experts": [40, 0, 40, 0],
    }  # fmt: skip
    assert (found["n"] == 40).all()
    assert found.loc["reference", "rescued_share":"high"].isna().all()
    assert found.loc["router", "low"] > 0.9 and found.loc["attention", "high"] < 0.1


def test_a_silent_reply_has_a_kind_by_its_text_and_its_end(measured):
    is_lost = measured["component"].isin(["attention", "router"])
    rows = measured[is_lost].assign(stated=False).reset_index(drop=True)
    rows.loc[rows.index[0], "text"] = "<|channel|>analysis<|message|>" + "so c. " * 99
    rows.loc[rows.index[-1], "text"] = "<|channel|>analysis3b"
    found = contrasts.silences(rows)
    kinds = found.groupby("component")["silence"].value_counts()
    assert kinds[kinds > 0].to_dict() == {
        ("attention", "progressing"): 39, ("attention", "looping"): 1,
        ("router", "unanswered"): 39, ("router", "header"): 1,
    }  # fmt: skip
    endings = found.groupby("component")["ending"].agg(set).to_dict()
    assert endings == {"attention": {"cut"}, "router": {"itself"}}
    assert contrasts.silences(measured)["component"].eq("attention").all()


def test_replies_part_where_they_leave_the_reference_and_not_where_they_were_cut(
    measured,
):
    is_other = measured["component"] == "non-experts"
    measured.loc[is_other, "text"] = "<|channel|>ana?"
    is_cut = measured["component"] == "attention"
    measured.loc[is_cut, "text"] = "<|channel|>analysis"
    found = contrasts.partings(contrasts.at_budget(measured, BUDGET), "en")
    assert list(found) == list(PARTINGS)
    assert set(found["reference"]) == {"reference"}
    groups = found.groupby("candidate")
    assert groups["parted"].all().to_dict() == {
        "attention, 2-bit": False, "experts, 2-bit": False,
        "non-experts, 2-bit": True, "router, 2-bit": False,
    }  # fmt: skip
    other = groups.get_group("non-experts, 2-bit")
    assert set(other["parted_at"]) == {len("<|channel|>ana") + 1}
    assert set(other["flip"]) == {"only_reference"}
    assert set(other["silent"]) == {"candidate"}
    assert set(groups.get_group("experts, 2-bit")["silent"]) == {"neither"}


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
    page = printed(contrasts.silences(measured).head(1), lang).to_html()
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
def test_the_limits_say_of_what_the_numbers_speak(lang):
    text = say("mechanism_limits", lang, **NUMBERS)
    for fact in ("21", "99.76%", "n = 100", "20B"):
        assert fact in text


RESCUE = {
    "case": "all, 2-bit", "effort": "medium", "n": 100, "budget": 80, "cap": 320,
    "blank": 69, "rescued": 68, "finished_wrong": 1, "never": 0, "rescued_share": 0.986,
    "low": 0.922, "high": 0.997, "base": 0, "blanks": {"low": 0, "high": 69},
}  # fmt: skip
WORSE = {"rescued": 4, "finished_wrong": 17, "rescued_share": 0.16, "low": 0.06,
         "high": 0.35}  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_rescue_is_claimed_only_where_its_interval_is_above_half(lang):
    for block in ("mechanism_effort", "mechanism_bits"):
        best, worst = say(block, lang, **RESCUE), say(block, lang, **(RESCUE | WORSE))
        for number in ("69", "68", "98.6%", "92.2%", "320", "80"):
            assert number in best, block
        assert "17" in worst and "35.0%" in worst
        nothing = say(block, lang, **(RESCUE | {"blank": 0}))
        assert "98.6%" not in nothing
    refuted = say("mechanism_bits", lang, **(RESCUE | WORSE))
    assert {"en": "untrue", "ja": "否定"}[lang] in refuted
    shown = {"en": "only needed room", "ja": "余地が足りなかった"}[lang]
    assert shown in say("mechanism_effort", lang, **RESCUE)
    assert shown not in say("mechanism_effort", lang, **(RESCUE | WORSE))


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_early_parting_is_claimed_only_where_it_is_shown(lang):
    told = {"case": "all, 2-bit", "fate": "flip", "n": 9, "others": 30, "estimate": 0.7}
    shown = {"en": "earlier is shown", "ja": "早く分かれることが示されました"}[lang]
    assert shown in say("mechanism_parting", lang, **told, low=0.55, high=0.8)
    assert shown not in say("mechanism_parting", lang, **told, low=0.45, high=0.8)
    unknown = told | {"n": 0, "estimate": float("nan")}
    assert shown not in say("mechanism_parting", lang, **unknown, low=1.0, high=1.0)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_kinds_are_counted_and_none_is_said(lang):
    about = {"case": "reference", "budget": 80}
    text = say("mechanism_silences", lang, **about, kinds={"looping": 3, "x": 12})
    assert "3" in text and "12" in text and "looping" in text
    assert "looping" not in say("mechanism_silences", lang, **about, kinds={})


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_reference_is_described_with_its_interval(lang):
    text = say(
        "mechanism_reference", lang, right=100, n=100, budget=128, low=0.963,
        high=1.0, mean=55.35, longest=115,
    )  # fmt: skip
    for number in ("100.0%", "96.3%", "55.4", "115", "128"):
        assert number in text


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_only_a_loop_is_said_to_give_no_sign_of_an_end(lang):
    about = {"n": 400, "stated": 398, "room": 1500, "longest": 807}
    text = say("mechanism_endless", lang, **about, kinds={"looping": 2}, loops=True)
    rest = say("mechanism_endless", lang, **about, kinds={"header": 2}, loops=False)
    assert "398" in text and "looping" in text and text.count("1500") == 2
    assert rest.count("1500") == 1
    none = say("mechanism_endless", lang, **about, kinds={}, loops=False)
    assert "header" not in none


@pytest.mark.skipif(missing_writer("mlx") is not None, reason="MLX is not here")
def test_a_real_model_of_few_bits_loops_where_it_never_ends():
    exam = load_exam("calibration", serial_context="joined")
    asked = [q for q in exam if q.problem_id in ("900C31", "900D66")]
    made = igaku.mechanism.replies(asked, [Ablation("all", 2)], 1500, ["high"])
    found = contrasts.silences(made)
    assert set(found["ending"]) == {"cut"}
    assert "looping" in set(found["silence"])
