"""The frames as a notebook meets them: their names, their columns, their words."""

import re
import subprocess
import sys

import pytest
from runs import planned, sit

import igaku
from igaku.study import families, frames
from igaku.words import heading, printed

OF_A_STUDY = (
    "runs", "pairs", "audit", "walls", "sections", "strata", "official", "published",
    "gates", "lengths", "survival", "budget_curves", "rescues", "loops",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, wrong in (("a", 3), ("b", 5), ("c", 9)):
        sit(folder, [i >= wrong for i in range(20)], name, planned(20))
    return families.open_study(folder)


@pytest.mark.parametrize("name", OF_A_STUDY)
def test_a_frames_docstring_names_every_column(study, name):
    door = getattr(frames, name)
    told = set(re.findall(r"[a-z_]+", door.__doc__))
    assert set(door(study).columns) <= told


def test_flips_and_planning_name_their_columns_too(study):
    told = set(re.findall(r"[a-z_]+", frames.flips.__doc__))
    missing = set(igaku.flips(study, "a", "b").columns) - told
    assert missing <= {f"candidate_{x}" for x in ("outcome", "answer", "content")}
    pairs = igaku.pairs(study)
    added = set(frames.planning(pairs).columns) - set(pairs.columns)
    assert added <= set(re.findall(r"[a-z_]+", frames.planning.__doc__))


@pytest.mark.parametrize("name", OF_A_STUDY)
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_frame_is_printed_in_words(study, name, lang):
    frame = getattr(frames, name)(study)
    assert printed(frame, lang).to_html()
    assert [c for c in frame.columns if heading(c, lang) == c] == []


def test_a_folder_and_its_open_study_give_the_same_frames(study):
    for name in ("runs", "pairs", "walls"):
        door = getattr(frames, name)
        assert door(study.folder).to_csv() == door(study).to_csv()


def test_completion_shows_the_frames_and_nothing_else():
    shown = dir(igaku.study)
    assert shown == sorted(shown) == sorted(igaku.study.__all__)
    assert all(callable(getattr(igaku.study, name)) for name in shown)


def test_importing_the_study_reads_no_pandas():
    code = "import sys, igaku.study; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
