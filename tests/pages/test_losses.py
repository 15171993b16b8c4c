"""One loss has one number and one denominator, wherever a reader meets it."""

import html
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from recordings import bring_in

import igaku
from igaku import figures
from igaku.pages import document
from igaku.pages.index import write_index
from igaku.study import open_study


@pytest.fixture(scope="module", params=["en", "ja"])
def study(request, shared, tmp_path_factory):
    folder = bring_in(tmp_path_factory.mktemp("recorded"), shared)
    return open_study(folder, lang=request.param)


@pytest.fixture(scope="module")
def counted(study):
    """What every run asked and lost, counted from its lines: the yardstick."""
    rows = igaku.load_runs(study.folder, raw=False).query("outcome != 'not_run'")
    marks = rows[["run"]].assign(
        asked=1,
        blank=(rows["outcome"] == "empty").astype(int),
        failed=(rows["outcome"] == "api_error").astype(int),
    )
    found = marks.groupby("run").sum()
    found = found.assign(lost=found["blank"] + found["failed"])
    return found.loc[igaku.runs(study)["run"]]


@pytest.fixture(scope="module")
def report(study):
    """The document of the study, written."""
    return document.write(study)


def rows_of(page):
    """The cells of each row of a page's tables."""
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.S):
        cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        yield [
            html.unescape(re.sub(r"<[^>]*>|\s+", " ", cell)).strip() for cell in cells
        ]


def test_the_frames_agree(study, counted):
    runs = igaku.runs(study).set_index("run")
    assert (runs["asked"] == counted["asked"]).all()
    assert (runs["blank"] == counted["blank"]).all()
    assert (runs["api_error"] == counted["failed"]).all()
    assert (runs["lost"] == counted["lost"]).all()
    parts = igaku.study.sections(study).groupby("run", sort=False)
    assert (parts["asked"].sum() == counted["asked"]).all()
    assert (parts["blank"].sum() + parts["api_error"].sum() == counted["lost"]).all()
    for frame in (igaku.walls(study), igaku.study.clocks(study)):
        assert (frame["blank"] == frame["run"].map(counted["blank"])).all()
    for pair in igaku.study.foretold(study).itertuples():
        own = counted.loc[pair.run]
        assert (pair.blank, pair.failed, pair.asked) == (
            own["blank"], own["failed"], own["asked"],
        )  # fmt: skip
        assert pair.with_text + pair.blank + pair.failed == pair.asked


def test_the_report_and_the_index_have_the_frames_numbers(study, counted, report):
    runs = igaku.runs(study).set_index("run")
    pages = [report, write_index(study.folder, study.lang)]
    for page in pages:
        found = [*rows_of(page.read_text("utf-8"))]
        for name, own in counted.iterrows():
            score = f"{runs.at[name, 'right']}/{own['asked']}"
            label = str(runs.at[name, "label"]).split(" (")[0]
            met = [row for row in found if score in row and label in row[0]]
            assert met, (page.name, name)
            assert all(str(own["lost"]) in row for row in met), (page.name, name)


def test_the_first_screen_sums_the_runs_that_count(study, counted, report):
    runs = igaku.runs(study).set_index("run")
    kept = counted[runs["counted"]]
    text = report.with_suffix(".md").read_text("utf-8")
    first = text.replace("\\", "").partition("\n## ")[0]
    blank, failed, asked = (kept[name].sum() for name in ("blank", "failed", "asked"))
    told = {
        "en": f"{blank} of {asked:,} replies are blank and {failed} failed",
        "ja": f"{asked:,}件中{blank}件が空回答、{failed}件がAPIエラー",
    }[study.lang]
    assert told in first


def test_the_figure_counts_blank_replies_of_all_that_were_asked(study, counted):
    rows = igaku.load_runs(study.folder, raw=False)
    with figures.style.context(study.lang):
        ax = figures.token_usage(rows, lang=study.lang)
        drawn = {text.get_text() for text in ax.texts}
    plt.close(ax.figure)
    for own in counted.itertuples():
        said = {
            "en": f"{own.blank} of {own.asked} blank",
            "ja": f"空回答 {own.blank}/{own.asked}",
        }[study.lang]
        assert said in drawn


# --- units ----------------------------------------------------------------------------

IN_TOKENS = ("lengths", "survival", "budget_curves", "reply_lengths", "length_ratios",
             "foretold")  # fmt: skip


def test_no_length_changes_when_the_clock_on_the_wall_runs_faster(study):
    """Times in other units are the same lengths: nothing in tokens counts seconds."""
    before = {name: getattr(igaku.study, name)(study) for name in IN_TOKENS}
    other = open_study(study.folder, lang=study.lang)
    for run in other.runs:
        run.rows["seconds"] = run.rows["seconds"] * 60
    for name, frame in before.items():
        after = getattr(igaku.study, name)(other)
        pd.testing.assert_frame_equal(frame, after, check_exact=False, rtol=1e-9)
    speeds = igaku.study.clocks(study)["tokens_per_second"]
    slower = igaku.study.clocks(other)["tokens_per_second"]
    assert (speeds / slower).round(6).eq(60).all()


def test_recorded_seconds_give_no_curve_and_no_median(study):
    for name in ("lengths", "survival", "budget_curves"):
        assert getattr(igaku.study, name)(study).empty
