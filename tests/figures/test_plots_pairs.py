import warnings

import pytest
from legible import check_legible
from runs import planned, replied, sit

from igaku.figures import plots_pairs, plots_study
from igaku.study.pairs import pair_table, patterns
from igaku.study.study import open_study

AWKWARD = ("$x_1$ <b>&", "_hidden_", "医師国家試験用モデル" * 4, "a/very-long-name" * 4)


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """The figures behind the pictures, in order; drawn small, as that is quick."""
    figures = []
    picture = plots_study.picture

    def kept(figure, alt):
        figures.append(figure)
        return picture(figure, alt, dpi=60)

    monkeypatch.setattr(plots_study, "picture", kept)
    return figures


def marks(step, n=400):
    return [i % step != 0 for i in range(n)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Three finished runs, one of them with an awkward name, and two that broke off."""
    folder = tmp_path_factory.mktemp("mixed")
    for i, step in enumerate((3, 4, 5)):
        sit(folder, marks(step), f"m{i}", card={"label": AWKWARD[i]})
    for i, step in enumerate((2, 3)):
        rows = [
            replied(q, good)
            if good
            else replied(q, False, outcome="truncated", content="", answer=None)
            for q, good in zip(planned(75), marks(step, 75), strict=True)
        ]
        sit(folder, None, f"cut{i}", planned(), rows=rows)
    return folder


FIGURES = {
    "paired_tables": lambda s, t: plots_pairs.paired_tables(s, t),
    "flip_barcode": lambda s, t: plots_pairs.flip_barcode(s, t),
    "forest": lambda s, t: plots_pairs.forest(s, t),
    "power_curves": lambda s, t: plots_pairs.power_curves(s, t),
    "pattern_bars": lambda s, _: plots_pairs.pattern_bars(
        s, patterns(s.of_role("finished"))
    ),
}


def draw(figure, study):
    """A figure, drawn without a warning: a missing glyph gives one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = FIGURES[figure](study, pair_table(study))
    assert found.png.startswith(b"\x89PNG")
    return found


@pytest.mark.parametrize("lang", ["ja", "en"])
@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_of_pairs_is_legible(figure, lang, mixed, drawn):
    draw(figure, open_study(mixed, lang=lang))
    check_legible(drawn[0])


@pytest.mark.parametrize("figure", FIGURES)
def test_the_same_replies_twice_are_drawn_too(figure, tmp_path):
    for name in ("a", "b"):
        sit(tmp_path, marks(3, 40), name)
    assert draw(figure, open_study(tmp_path)).alt


def test_the_tables_carry_their_counts_and_p(mixed):
    alt = draw("paired_tables", open_study(mixed, lang="en")).alt
    rows = pair_table(open_study(mixed))
    first = rows.iloc[0]
    assert f"both right {first['both']}, only A {first['only_a']}" in alt
    assert f"n = {first['n']}" in alt


def test_lost_replies_are_drawn_apart_in_the_barcode(mixed, drawn):
    study = open_study(mixed, lang="en")
    rows = pair_table(study)
    plots_pairs.flip_barcode(study, rows[rows["kind"] == "mixed"].head(1))
    colours = {
        collection.get_colors()[0].tobytes()
        for collection in drawn[0].axes[0].collections
        if len(collection.get_segments())
    }
    assert len(colours) == 2  # the run's own, and grey for replies that were lost


def test_stopped_pairs_show_the_flips_of_their_family_and_what_was_not_run(tmp_path):
    for name, n in (("a", 125), ("b", 125), ("c", 75)):
        step = {"a": 2, "b": 3, "c": 4}[name]
        sit(tmp_path, marks(step, n) + [None] * (400 - n), name, planned())
    study = open_study(tmp_path, lang="en")
    rows = pair_table(study)
    alt = plots_pairs.flip_barcode(study, rows).alt
    for _, row in rows.iterrows():
        assert row["n"] == 75
        names = f"{row['a']} † → {row['b']} †"
        assert f"{names}: A: −{row['only_a']} +{row['only_b']}" in alt
    assert "B: not run" in alt and "F: not run" in alt


def test_finished_pairs_have_a_scale_of_their_own(mixed, drawn):
    draw("forest", open_study(mixed))
    spans = [axes.get_xlim() for axes in drawn[0].axes]
    assert len(spans) == 2
    assert spans[0][1] - spans[0][0] < spans[1][1] - spans[1][0]


def test_power_is_told_with_the_difference_that_can_be_seen(mixed):
    alt = draw("power_curves", open_study(mixed, lang="en")).alt
    assert "smallest difference" in alt and "flip budget" in alt


def test_more_pairs_than_fit_are_counted(tmp_path):
    for i in range(6):
        sit(tmp_path, marks(2 + i, 40), f"m{i}")
    study = open_study(tmp_path, lang="en")
    for name in ("paired_tables", "flip_barcode", "forest"):
        assert "The first 12 of 15 pairs are drawn" in draw(name, study).alt


def test_no_pair_is_no_data(tmp_path):
    sit(tmp_path, marks(3, 40), "only")
    study = open_study(tmp_path, lang="en")
    for name in ("paired_tables", "flip_barcode", "forest", "power_curves"):
        assert "no data" in draw(name, study).alt
