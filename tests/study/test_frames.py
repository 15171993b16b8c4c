"""The frames as a notebook meets them: their names, their columns, their words."""

import re
import subprocess
import sys

import pytest
from runs import planned, replied, sit

import igaku
from igaku.figures.style import style_of
from igaku.study import families
from igaku.words import heading, printed

OF_A_STUDY = (
    "runs", "pairs", "audit", "walls", "sections", "strata", "official", "published",
    "gates", "lengths", "survival", "budget_curves", "rescues", "silences", "orders",
    "shuffles", "repeats", "clocks", "foretold", "reply_lengths",
    "length_ratios", "crossed", "contrasts", "decided",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, wrong in (("a", 3), ("b", 5), ("c", 9)):
        sit(folder, [i >= wrong for i in range(20)], name, planned(20))
    return families.open_study(folder)


def opened(name):
    return getattr(igaku if name in dir(igaku) else igaku.study, name)


@pytest.mark.parametrize("name", OF_A_STUDY)
def test_a_frames_docstring_names_every_column(study, name):
    door = opened(name)
    told = set(re.findall(r"[a-z_]+", door.__doc__))
    assert set(door(study).columns) <= told


def test_flips_and_planning_name_their_columns_too(study):
    told = set(re.findall(r"[a-z_]+", igaku.flips.__doc__))
    missing = set(igaku.flips(study, "a", "b").columns) - told
    assert missing <= {f"candidate_{x}" for x in ("outcome", "answer", "content")}
    pairs = igaku.pairs(study)
    added = set(igaku.study.planning(pairs).columns) - set(pairs.columns)
    assert added <= set(re.findall(r"[a-z_]+", igaku.study.planning.__doc__))
    plan = igaku.study.plan(0.145, 400)
    assert {*plan.columns} <= set(re.findall(r"[a-z_]+", igaku.study.plan.__doc__))
    assert [c for c in plan.columns if heading(c, "ja") == c] == []


@pytest.mark.parametrize("name", OF_A_STUDY)
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_frame_is_printed_in_words(study, name, lang):
    frame = opened(name)(study)
    assert printed(frame, lang).to_html()
    assert [c for c in frame.columns if heading(c, lang) == c] == []


def test_a_folder_and_its_open_study_give_the_same_frames(study):
    for name in ("runs", "pairs", "walls"):
        door = getattr(igaku, name)
        assert door(study.folder).to_csv() == door(study).to_csv()


def test_completion_shows_the_frames_and_nothing_else():
    shown = dir(igaku.study)
    assert shown == sorted(
        {"open_study", "standing", "planning", "patterns", "cards", "plan", "partings"}
        | {*OF_A_STUDY} - {*dir(igaku)}
    )
    assert all(callable(getattr(igaku.study, name)) for name in shown)


def test_importing_the_study_reads_no_pandas():
    code = "import sys, igaku.study; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_filtered_frame_keeps_the_colours_of_the_cards(tmp_path):
    for name, wrong in (("a", 3), ("b", 5), ("c", 9)):
        rights = [i >= wrong for i in range(20)]
        card = {"color": "#0072B2", "marker": "s"} if name == "b" else {}
        rows = [
            replied(q, right, completion_tokens=50 + n)
            for n, (q, right) in enumerate(zip(planned(20), rights, strict=True))
        ]
        sit(tmp_path, None, name, planned(20), card=card, rows=rows)
    for name in ("runs", "strata", "survival", "budget_curves"):
        frame = opened(name)(tmp_path)
        few = frame[frame["run"] == "b"]
        assert style_of(frame)["b"] == style_of(few)["b"] == ("#0072B2", "s")
        assert frame.loc[frame["run"] != "b", ["color", "marker"]].isna().all(axis=None)
