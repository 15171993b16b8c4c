"""Strata: which level a question has, and how each level was answered."""

import json

import pytest
from runs import planned, replied, sit

import igaku
from igaku.study.levels import BAND_NAMES, ORDER, STRATA, levels_of, strata_of
from igaku.words import word


def level_of(run, stratum, place=0):
    return levels_of(run)[stratum].iloc[place]


def one(folder, settings=None, name="run", **facts):
    question = planned(1)[0] | facts
    return sit(folder, [True], name, questions=[question], settings=settings)


@pytest.mark.parametrize(
    ("stratum", "facts", "level"),
    [
        ("section", {}, "A"),
        ("part", {}, "general"),
        ("part", {"section": "E"}, "compulsory"),
        ("answers", {"gold": ["a", "c"]}, "2"),
        ("answers", {"gold": ["12"], "kind": "numeric"}, "numeric"),
        ("image", {"text_only": False}, "image"),
        ("vignette", {}, "none"),
        ("vignette", {"stem": "116A1"}, "head"),
        ("vignette", {"stem": "116A0"}, "missing"),
        ("human_accuracy", {"human_accuracy": 0.0}, "0–59%"),
        ("human_accuracy", {"human_accuracy": 60}, "60–79%"),
        ("human_accuracy", {"human_accuracy": 89.9}, "80–89%"),
        ("human_accuracy", {"human_accuracy": 100.0}, "90–100%"),
        ("kinki", {"kinki": ["b"]}, "kinki"),
        ("speciality", {"category": "神経"}, "神経"),
    ],
)
def test_a_question_has_the_level_of_what_is_known_of_it(
    tmp_path, stratum, facts, level
):
    line = replied(planned(1)[0]) | {"section": facts.get("section", "A")}
    question = planned(1)[0] | facts
    run = sit(tmp_path, None, questions=[question], rows=[line])
    assert level_of(run, stratum) == level


def test_what_is_not_known_of_a_question_gives_it_no_level(tmp_path):
    unknown = {"gold": None, "text_only": None, "kinki": [], "category": None}
    levels = levels_of(one(tmp_path, **unknown))
    strata = ["answers", "image", "kinki", "speciality", "human_accuracy"]
    assert levels[strata].isna().all(axis=None)
    assert set(strata_of(one(tmp_path, name="other", **unknown))["stratum"]) == {
        "section", "part", "vignette",
    }  # fmt: skip


def test_a_follow_up_may_come_with_its_case(tmp_path):
    joined = one(tmp_path, {"serial_context": "joined"}, stem="116A0")
    assert level_of(joined, "vignette") == "joined"


def test_the_lab_has_neither_a_compulsory_part_nor_specialities(tmp_path):
    question = planned(1)[0] | {"category": "神経"}
    run = sit(tmp_path, [True], questions=[question], origin="lab")
    assert levels_of(run)[["part", "speciality"]].isna().all(axis=None)


def test_a_level_is_counted_with_its_share_and_interval(tmp_path):
    sit(tmp_path, [i % 2 == 0 for i in range(400)])
    table = igaku.study.strata(tmp_path).set_index(["stratum", "level"])
    row = table.loc[("part", "compulsory")]
    assert (row["run"], row["n"], row["right"], row["accuracy"]) == (
        "run",
        100,
        50,
        0.5,
    )
    assert row["low"] == pytest.approx(0.4038, abs=1e-4)
    assert table.loc["section", "n"].tolist() == [75, 50, 75, 75, 50, 75]


def test_strata_and_levels_stand_in_their_own_order(tmp_path):
    questions = [
        q | {"human_accuracy": share, "gold": list("abc")[: i % 3 + 1]}
        for i, (q, share) in enumerate(zip(planned(4), (95, 10, 85, 70), strict=True))
    ]
    table = strata_of(sit(tmp_path, [True] * 4, questions=questions))
    assert table["stratum"].drop_duplicates().tolist() == [
        "section", "part", "answers", "image", "vignette", "human_accuracy",
    ]  # fmt: skip
    bands = table[table["stratum"] == "human_accuracy"]["level"]
    assert bands.tolist() == list(BAND_NAMES)
    assert table[table["stratum"] == "answers"]["level"].tolist() == ["1", "2", "3"]


def test_a_selection_of_lost_questions_is_in_no_stratum(tmp_path):
    sit(tmp_path, [True] * 3, settings={"lost_of": "other"})
    assert igaku.study.strata(tmp_path).empty


def test_every_level_has_a_name_in_both_languages(shared):
    for stratum in STRATA:
        assert word("stratum", stratum, "ja") != stratum
    fixed = {level for level in ORDER if level not in BAND_NAMES}
    met = [
        json.loads(line).get("category")
        for path in (shared / "data/igakuqa").glob("20*/*_metadata.jsonl")
        for line in path.open()
    ]
    assert met
    for level in fixed:
        assert word("level", level, "ja") != level
    for level in filter(None, [*fixed, *met]):
        assert word("level", level, "en") != level
