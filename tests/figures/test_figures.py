"""What holds for every figure: frame and Axes, two languages, two widths."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tidy
from legible import check_legible, printed, texts
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox
from tidy import FRAMES, draw

from igaku import figures
from igaku.figures import rows, style

AWKWARD = (
    "$x_1$ <b>&", "_hidden_ $y$", "医師国家試験用モデル" * 4, "a/very-long-name" * 4,
    "two\nlines", "<script>alert(1)</script>",
)  # fmt: skip
every_figure = pytest.mark.parametrize("name", FRAMES)


@pytest.fixture(autouse=True)
def closed():
    """Figures are the caller's to close."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a notebook's cells may have set others in this process
        before = dict(mpl.rcParams)
        yield
        plt.close("all")
        assert dict(mpl.rcParams) == before


def test_every_name_of_the_room_is_a_figure():
    assert dir(figures) == sorted([*FRAMES, "style"])
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        figures.pie  # noqa: B018


def test_figures_load_nothing_until_they_are_drawn():
    code = "import igaku.figures, sys; print('matplotlib' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"


@pytest.mark.parametrize("is_narrow", [False, True])
@pytest.mark.parametrize("lang", ["en", "ja"])
@every_figure
def test_every_figure_is_legible_on_a_page_and_on_a_phone(name, lang, is_narrow):
    with style.context(lang, narrow=is_narrow):
        ax = draw(name, lang=lang)
        width = style.SLIM if is_narrow else style.WIDE
        assert ax.figure.get_figwidth() == width
        check_legible(ax.figure)


@pytest.mark.parametrize("is_narrow", [False, True])
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_share_of_thought_stands_apart_from_every_text(lang, is_narrow):
    with style.context(lang, narrow=is_narrow):
        ax = draw("token_usage", tidy.thoughts(), lang=lang)
        check_legible(ax.figure)
        bars = [bar.get_window_extent() for bar in ax.findobj(AnnotationBbox)]
        places = [place for _, place in texts(ax.figure)]
    assert len(bars) == 4
    assert not any(bar.overlaps(place) for bar in bars for place in places)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_number_behind_the_last_wall_stands_apart_from_what_is_beside_its_row(lang):
    times = [*np.linspace(10.8, 14.2, 22), *([15.2, 15.3, 15.4] * 15)]
    about = {"run": "slow", "label": "slow", "outcome": "empty", "max_tokens": 1024}
    slow = pd.DataFrame({"seconds": times}).assign(blank=True, **about)
    with style.context(lang):
        replies = pd.concat([tidy.replies(), slow], ignore_index=True)
        replies = replies[replies["run"] != "long"]
        _, ax = plt.subplots(figsize=(7.6, 2.4), layout="tight")
        check_legible(draw("token_usage", replies, ax=ax, lang=lang).figure)


@every_figure
def test_the_axes_given_are_the_axes_returned(name):
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
    assert draw(name, ax=right) is right
    assert not left.has_data() and plt.get_fignums() == [figure.number]


@every_figure
def test_new_axes_can_be_changed_are_still_open_and_leave_the_frame_as_it_was(name):
    frame = FRAMES[name]()
    ax = draw(name, kept := frame.copy())
    assert kept.equals(frame)
    assert isinstance(ax, Axes) and ax.figure.number in plt.get_fignums()
    ax.set_title("mine")
    assert ax.get_title() == "mine"


@every_figure
def test_an_empty_frame_is_a_note(name):
    assert "Nothing to draw" in printed(draw(name, FRAMES[name]().head(0)))
    assert "Nothing to draw" in printed(draw(name, pd.DataFrame()))


@every_figure
def test_one_run_alone_is_drawn_and_so_is_a_categorical(name):
    frame = FRAMES[name]()
    key = next(k for k in ("run", "candidate", "systematic") if k in frame)
    first = frame[frame[key] == frame[key].iloc[0]]
    assert "Nothing" not in printed(draw(name, first))
    assert "Nothing" not in printed(draw(name, frame.astype({key: "category"})))


@pytest.mark.parametrize("name", sorted(set(FRAMES) - {"plan"}))  # which names no run
def test_labels_are_drawn_as_they_are_written(name):
    frame = FRAMES[name]()
    key = "run" if "run" in frame else "candidate"
    names = dict(zip(frame[key].unique(), AWKWARD, strict=False))
    frame = frame.drop(columns="label", errors="ignore").replace({key: names})
    with style.context(narrow=name in ("accuracy", "forest")):
        ax = draw(name, frame)
        read = [text._preprocess_math(text.get_text()) for text, _ in texts(ax.figure)]
    assert not any(is_math for _, is_math in read)
    if name != "power":  # its label is of counts
        assert any("$x_1$ <b>&" in told for told, _ in read)


def test_japanese_has_its_glyphs_without_any_style():
    with mpl.rc_context({"font.family": ["DejaVu Sans"]}):
        assert "正答率" in printed(draw("accuracy", lang="ja"))


def test_the_style_of_a_notebook_outlives_seaborns_theme():
    import seaborn as sns

    with mpl.rc_context():
        sns.set_theme()
        style.use("ja")
        assert "IPAexGothic" in mpl.rcParams["font.family"]
        assert "正答率" in printed(draw("accuracy", lang="ja"))


def test_a_run_keeps_the_colour_of_its_card_however_few_are_shown():
    runs = tidy.runs().assign(color=None, marker=None)
    runs.loc[1, ["color", "marker"]] = ["#123456", "*"]
    assert style.style_of(runs)["four"] == ("#123456", "*")
    assert style.style_of(runs[1:2])["four"] == ("#123456", "*")
    looks = style.style_of(runs)
    assert len({look.color for look in looks.values()}) == len(looks)


def test_a_categorical_keeps_its_colours_when_it_is_filtered():
    runs = tidy.runs().astype({"run": "category"})
    assert style.style_of(runs)["long"] == style.style_of(runs.tail(3))["long"]


def test_a_narrow_panel_names_its_rows_above_them():
    _, panels = plt.subplots(1, 3, figsize=(9, 5), layout="constrained")
    assert rows.is_narrow(draw("accuracy", ax=panels[0]))
    with style.context():
        assert not rows.is_narrow(draw("accuracy"))


@pytest.mark.parametrize("layout", ["tight", "constrained", "compressed", "none"])
def test_a_figure_of_any_layout_is_arranged(layout):
    figure, ax = plt.subplots(layout=layout)
    ax.set_title("c")
    style.arrange(figure)
    figure.canvas.draw()
    assert figure.get_layout_engine() is None or layout == "none"
