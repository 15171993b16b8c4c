import pytest
from runs import planned, sit

from igaku.errors import IgakuError
from igaku.study import open_study, role, size_gb

ALL, SOME = [True] * 40, [True] * 30 + [False] * 10


def kinds(study):
    return [(family.kind, family.pairs) for family in study.families]


def stopped(n, of=400):
    return [True, False] * (n // 2) + [True] * (n % 2) + [None] * (of - n)


def test_finished_runs_of_one_exam_under_the_same_settings_are_the_main_family(
    tmp_path,
):
    for name in "abc":
        sit(tmp_path, SOME, name)
    (family,) = open_study(tmp_path).families
    assert family.kind == "finished"
    assert family.pairs == (("a", "b"), ("a", "c"), ("b", "c"))
    assert family.questions is None


def test_stopped_runs_are_compared_on_the_prefix_that_all_of_them_share(tmp_path):
    sit(tmp_path, stopped(125), "q4", planned())
    sit(tmp_path, stopped(75), "ii", planned())
    sit(tmp_path, [True] * 400, "whole", planned())
    study = open_study(tmp_path)
    (family,) = study.of_kind("stopped")
    assert family.pairs == (("ii", "q4"),)
    assert len(family.questions) == 75
    (mixed,) = study.of_kind("mixed")
    assert mixed.pairs == (("whole", "ii"), ("whole", "q4"))
    assert not study.of_kind("finished")


def test_runs_under_different_settings_are_never_tested_in_the_main_family(tmp_path):
    sit(tmp_path, ALL, "a")
    sit(tmp_path, SOME, "b", settings={"max_tokens": 4096})
    (family,) = open_study(tmp_path).families
    assert family.kind == "settings"


def test_a_setting_that_is_not_on_record_parts_nobody(tmp_path):
    sit(tmp_path, ALL, "a", settings={"reasoning_effort": "low"})
    sit(tmp_path, SOME, "b", settings={"reasoning_effort": None})
    (family,) = open_study(tmp_path).families
    assert family.kind == "finished"


def test_a_model_asked_twice_is_a_repeat_and_enters_the_family_once(tmp_path):
    sit(tmp_path, ALL, "a1", settings={"slug": "a"})
    sit(tmp_path, SOME, "a2", settings={"slug": "a"})
    sit(tmp_path, SOME, "b")
    study = open_study(tmp_path)
    assert study.repeat_of == {"a2": "a1"}
    assert kinds(study) == [
        ("finished", (("a1", "b"),)),
        ("repeats", (("a1", "a2"),)),
    ]


def test_references_and_follow_ups_stay_out_of_the_families_under_test(tmp_path):
    sit(tmp_path, ALL, "a")
    sit(tmp_path, SOME, "b")
    sit(tmp_path, SOME, "gpt4", card={"origin": "reference"})
    sit(tmp_path, SOME[:5], "a-rescue", settings={"slug": "a", "lost_of": "a"})
    study = open_study(tmp_path)
    assert {run.name: role(run) for run in study.runs} == {
        "a": "finished",
        "b": "finished",
        "gpt4": "reference",
        "a-rescue": "follow-up",
    }
    assert [family.kind for family in study.families] == ["finished", "reference"]


def test_runs_without_a_shared_question_are_no_pair(tmp_path):
    sit(tmp_path, ALL, "a")
    sit(tmp_path, ALL, "b", planned(40, 112), settings={"exam": 2018})
    study = open_study(tmp_path)
    assert study.families == ()
    assert study.exams == ["2018", "2022"]


def test_the_family_and_the_reference_can_be_declared(tmp_path):
    for name in "abc":
        sit(tmp_path, SOME, name, card={"size_gb": 12 + ord(name)})
    study = open_study(tmp_path, reference="b", family="a, b")
    (main,) = study.of_kind("finished")
    assert main.pairs == (("b", "a"),)
    (rest,) = study.of_kind("settings")
    assert rest.pairs == (("b", "c"), ("c", "a"))


def test_the_largest_finished_model_is_the_reference(tmp_path):
    sit(tmp_path, SOME, "small", card={"size_gb": 12.1})
    sit(tmp_path, SOME, "large", card={"size_bytes": 22_260_000_000})
    study = open_study(tmp_path)
    assert [run.name for run in study.runs] == ["large", "small"]
    assert size_gb(study.runs[0]) == 22.26


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"reference": "x"}, "There is no run x to compare: the runs are a."),
        ({"family": "a,y"}, "There is no run y"),
        ({"margin": 2.5}, "margin is 2.5: give a fraction"),
        ({"margin": True}, "margin is True"),
        ({"lang": "fr"}, "lang is 'fr'"),
    ],
)
def test_wrong_parameters_are_one_sentence(tmp_path, given, sentence):
    sit(tmp_path, ALL, "a")
    with pytest.raises(IgakuError, match=sentence):
        open_study(tmp_path, **given)


def test_an_empty_folder_is_an_empty_study(tmp_path):
    study = open_study(tmp_path)
    assert study.runs == () and study.families == () and study.exams == []
