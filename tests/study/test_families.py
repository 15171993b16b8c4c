import doctest
import gc

import pytest
from runs import planned, sit

import igaku
from igaku.errors import IgakuError
from igaku.study import families
from igaku.study.designs import condition
from igaku.study.families import Study, open_study, role, size_gb

ALL, SOME = [True] * 40, [True] * 30 + [False] * 10


def kinds(study):
    return [(family.kind, family.pairs) for family in study.families]


def of_kind(study, kind):
    return [family for family in study.families if family.kind == kind]


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


def test_stopped_runs_are_compared_on_the_prefix_that_all_of_them_share(tmp_path):
    sit(tmp_path, stopped(125), "q4", planned())
    sit(tmp_path, stopped(75), "ii", planned())
    sit(tmp_path, [True] * 400, "whole", planned())
    study = open_study(tmp_path)
    (family,) = of_kind(study, "stopped")
    assert family.pairs == (("q4", "ii"),)
    assert set(igaku.pairs(study).query("family == 'stopped'")["n"]) == {75}
    (mixed,) = of_kind(study, "mixed")
    assert mixed.pairs == (("whole", "q4"), ("whole", "ii"))
    assert not of_kind(study, "finished")


def test_runs_under_different_settings_are_never_tested_in_the_main_family(tmp_path):
    sit(tmp_path, ALL, "a")
    sit(tmp_path, SOME, "b", settings={"max_tokens": 4096})
    (family,) = open_study(tmp_path).families
    assert family.kind == "settings"


def test_a_setting_that_is_not_on_record_parts_nobody(tmp_path):
    sit(tmp_path, ALL, "a", settings={"reasoning_effort": "low"})
    sit(tmp_path, SOME, "b", origin="recorded")
    (family,) = open_study(tmp_path).families
    assert family.kind == "finished"


def test_the_servers_own_default_is_a_setting_like_any_other(tmp_path):
    sit(tmp_path, ALL, "a", settings={"reasoning_effort": "high"})
    sit(tmp_path, SOME, "b", settings={"reasoning_effort": None})
    (family,) = open_study(tmp_path).families
    assert family.kind == "settings"


def test_a_trial_of_a_few_questions_displaces_no_whole_run(tmp_path):
    sit(tmp_path, ALL[:10], "a-trial", settings={"slug": "a"})
    sit(tmp_path, ALL, "a-whole", settings={"slug": "a"})
    sit(tmp_path, SOME, "b")
    study = open_study(tmp_path)
    (main,) = of_kind(study, "finished")
    assert main.pairs == (("a-whole", "b"),)
    assert {family.kind for family in study.families} == {"finished", "settings"}


def test_a_run_that_hardly_began_takes_no_questions_from_the_others(tmp_path):
    sit(tmp_path, stopped(100), "a", planned())
    sit(tmp_path, stopped(90), "b", planned())
    sit(tmp_path, stopped(2), "c", planned())
    (family,) = of_kind(open_study(tmp_path), "stopped")
    assert family.pairs == (("a", "b"),)
    assert set(igaku.pairs(tmp_path).query("family == 'stopped'")["n"]) == {90}


def test_a_declared_repeat_is_compared(tmp_path):
    for name in ("a1", "a2"):
        sit(tmp_path, SOME, name, settings={"slug": "a"})
    (main,) = of_kind(open_study(tmp_path, family="a1,a2"), "finished")
    assert main.pairs == (("a1", "a2"),)


def test_a_model_asked_twice_is_a_repeat_and_enters_the_family_once(tmp_path):
    sit(tmp_path, ALL, "a1", settings={"slug": "a"})
    sit(tmp_path, SOME, "a2", settings={"slug": "a"})
    sit(tmp_path, SOME, "b")
    study = open_study(tmp_path)
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
    (main,) = of_kind(study, "finished")
    assert main.pairs == (("b", "a"),)
    (rest,) = of_kind(study, "settings")
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


# --- living in a notebook -------------------------------------------------------------


def test_the_first_cell_run_six_times_keeps_one_study(tmp_path):
    for name in "abc":
        sit(tmp_path, SOME, name)
    gc.collect()
    before = sum(type(thing) is Study for thing in gc.get_objects())
    for _ in range(6):
        study = open_study(tmp_path)
        for frame in (igaku.runs, igaku.pairs, igaku.audit, igaku.walls):
            assert len(frame(study)) or frame is igaku.walls
    gc.collect()
    alive = [thing for thing in gc.get_objects() if type(thing) is Study]
    assert len(alive) <= before + 1 and any(thing is study for thing in alive)


def test_what_a_cell_shows_of_a_study_is_one_line(tmp_path):
    for name in "abc":
        sit(tmp_path, SOME, name)
    study = open_study(tmp_path)
    assert repr(study) == "Study: 3 runs of exam 2022, 1 family"
    assert repr(study.families) == "(Family: finished, exam 2022, 3 pairs,)"
    assert repr(open_study(tmp_path / "a")) == "Study: 0 runs, 0 families"


def test_what_is_made_of_a_study_is_made_once_and_of_it_alone(tmp_path):
    sit(tmp_path, SOME, "a")
    study, calls = open_study(tmp_path), []

    def made(of):
        calls.append(of)
        return len(calls)

    assert [study.once(made), study.once(made)] == [1, 1]
    assert open_study(tmp_path).once(made) == 2 and calls[0] is study


def test_a_prompt_beside_the_settings_of_a_recorded_run_is_on_record(tmp_path):
    run = sit(tmp_path, SOME, "a", origin="recorded", prompt="baseline")
    assert condition(run)["prompt"] == "baseline"


def test_the_examples_in_the_docstrings_hold():
    found = doctest.testmod(families)
    assert found.attempted >= 1 and found.failed == 0
