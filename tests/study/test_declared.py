"""One declared analysis: when it was set, whether it was changed, what departs."""

import json

import pytest
from runs import sit

import igaku
from igaku.errors import IgakuError
from igaku.params.declared import STUDY, read_declared
from igaku.study.declared import declare, standing
from igaku.study.families import open_study

ALL, SOME = [True] * 40, [True] * 30 + [False] * 10
LATER = "2100-01-01T00:00:00+00:00"
EARLIER = {"start": "2020-01-01T00:00:00+00:00", "end": "2020-01-02T00:00:00+00:00"}


def ran(folder, name, rights=SOME, **about):
    """A run that began after study.yaml was written, and says so."""
    found = read_declared(folder)
    held = {"sha256": found.digest, "at": found.at}
    return sit(folder, rights, name, declared=held, **{"start": LATER} | about)


def said(folder, **given):
    return standing(open_study(folder, **given))


def main_of(study):
    return [f.runs for f in study.families if f.kind == "finished"]


@pytest.fixture
def declared(tmp_path):
    declare(tmp_path, question="Why?", reference="b", margin=0.05)
    return tmp_path


def test_without_a_declaration_that_is_said(tmp_path):
    sit(tmp_path, ALL, "a")
    assert said(tmp_path).startswith("No analysis was declared for these runs")
    assert igaku.pairs(tmp_path).empty and open_study(tmp_path).margin == 0.025


def test_what_was_declared_first_is_said_with_its_date(declared):
    ran(declared, "a"), ran(declared, "b", start="2100-01-01T09:30:00+00:00")
    told = said(declared)
    assert "“Why?” Reference b; family all finished runs; exam 2022" in told
    assert "margin 5.0 points; level 0.05" in told
    assert "before the first run began (a, 2100-01-01 00:00), and every" in told
    assert read_declared(declared).digest[:12] in told
    assert "therwise" not in told and "changed" not in told


def test_what_is_left_at_none_is_as_declared(declared):
    ran(declared, "a"), ran(declared, "b")
    (row,) = igaku.pairs(declared).to_dict("records")
    assert (row["reference"], row["candidate"], row["margin"]) == ("b", "a", 0.05)
    assert row["family"] == "finished"
    (row,) = igaku.pairs(open_study(declared)).to_dict("records")
    assert (row["reference"], row["margin"]) == ("b", 0.05)


def test_what_is_given_otherwise_holds_and_is_said(declared):
    ran(declared, "a"), ran(declared, "b"), ran(declared, "c")
    (row, *_) = igaku.pairs(declared, reference="a", margin=0.025).to_dict("records")
    assert (row["reference"], row["margin"]) == ("a", 0.025)
    told = said(declared, reference="a", margin=0.025, family="a,b")
    assert "Otherwise than declared: margin 0.025 was given; 0.05 was declared" in told
    assert "reference a was given; b was declared" in told
    assert "family a, b was given; all was declared." in told
    again = said(declared, reference="b", margin=0.05)
    assert "therwise" not in again


def test_a_run_that_began_before_is_said(tmp_path):
    sit(tmp_path, SOME, "a", **EARLIER)
    sit(tmp_path, SOME, "b", start=EARLIER["start"])
    declare(tmp_path, question="Why?")
    told = said(tmp_path)
    assert "after 2 runs had begun, 1 of which had ended" in told
    assert "before the first run" not in told
    assert read_declared(tmp_path).begun == 2


def test_that_runs_had_begun_is_said_when_they_are_gone(tmp_path):
    sit(tmp_path, SOME, "a", **EARLIER)
    declare(tmp_path, question="Why?")
    (tmp_path / "a/answers.jsonl").unlink()
    ran(tmp_path, "b")
    assert "after 1 run had begun" in said(tmp_path)


def test_of_a_run_that_does_not_hold_it_no_order_is_claimed(declared):
    ran(declared, "a"), sit(declared, SOME, "b", origin="recorded")
    sit(declared, SOME, "c", start=LATER)
    told = said(declared)
    assert (
        "before b, c is not shown" in told
        and "In the manifests of these it is held: a." in told
    )
    assert "before the first run" not in told


def test_a_clock_without_a_zone_is_not_read_as_earlier_by_hours(declared):
    at = read_declared(declared).at
    sit(declared, SOME, "near", start=at[:19])
    sit(declared, SOME, "far", start="2020-01-01T00:00:00")
    told = said(declared)
    assert "before near is not shown" in told and "after 1 run had begun" in told


def test_a_change_of_the_file_is_said(declared):
    ran(declared, "a"), ran(declared, "b")
    path = declared / STUDY
    path.write_text(path.read_text().replace("margin: 0.05", "margin: 0.1"))
    told = said(declared)
    assert "study.yaml was changed after it was written" in told
    assert "b, a began under another study.yaml" in told
    assert "before the first run" not in told


def test_another_declaration_in_its_place_is_said(declared):
    ran(declared, "a"), ran(declared, "b")
    (declared / STUDY).unlink()
    declare(declared, question="Why?", reference="b", margin=0.1)
    told = said(declared)
    assert "b, a began under another study.yaml" in told
    assert "after 2 runs had begun" in told


def test_it_is_written_once(declared):
    before = (declared / STUDY).read_text()
    declare(declared, question="Why?", reference="b", margin=0.05)
    with pytest.raises(IgakuError, match=r"with another reference, margin: declare"):
        declare(declared, question="Why?")
    assert (declared / STUDY).read_text() == before
    with pytest.raises(IgakuError, match="did you mean margin"):
        declare(declared, question="Why?", marign=0.1)


def test_the_family_is_of_runs_or_models_and_of_the_declared_exams(tmp_path):
    family = ["a", "m-4bit"]
    declare(tmp_path, question="Why?", family=family, reference="b", exams=[2022])
    for name in ("a", "b", "c"):
        ran(tmp_path, name)
    ran(tmp_path, "d", settings={"slug": "m-4bit"})
    ran(tmp_path, "a-2021", settings={"slug": "a", "exam": 2021})
    ran(tmp_path, "b-2021", settings={"slug": "b", "exam": 2021})
    study = open_study(tmp_path)
    assert [{*runs} for runs in main_of(study)] == [{"a", "b", "d"}]
    assert study.runs[0].name == "b" and len(igaku.pairs(study)) == 7
    everything = open_study(tmp_path, family="a,c")
    assert main_of(everything) == [("a", "c")]


def test_what_has_no_run_yet_is_said_and_stops_nothing(tmp_path):
    declare(
        tmp_path, question="Why?", reference="x", family=["a", "b"], exams=[2022, 2021]
    )
    ran(tmp_path, "a"), ran(tmp_path, "b")
    assert len(igaku.pairs(tmp_path)) == 1
    assert "no run yet of x, 2021" in said(tmp_path)


def test_repeats_and_stops_other_than_declared_are_said(tmp_path):
    declare(tmp_path, question="Why?", repeats=2, stopping="never")
    ran(tmp_path, "a", settings={"stop_when_broken": True})
    ran(tmp_path, "b", settings={"stop_when_broken": False})
    ran(tmp_path, "b-r2", settings={"slug": "b", "stop_when_broken": False})
    told = said(tmp_path)
    assert "a was asked once; 2 times was declared" in told
    assert "a could end early; never was declared" in told


def test_a_declared_level_decides_the_sentences(declared):
    (declared / STUDY).unlink()
    declare(declared, question="Why?", level=0.01)
    study = open_study(declared)
    assert study.levels == {"LEVEL": 0.01, "ONE_SIDED": 0.005}
    assert "level 0.01 (the intervals stay at 95%)" in standing(study)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_an_edit_that_breaks_the_date_breaks_no_page(declared, lang):
    sit(declared, SOME, "a", **EARLIER)
    path = declared / STUDY
    text = path.read_text().replace(read_declared(declared).at, "long ago")
    path.write_text(text)
    told = said(declared, lang=lang)
    assert read_declared(declared).digest[:12] in told
    assert json.dumps(told) and "None" not in told
