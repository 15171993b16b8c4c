import json
import warnings
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from legible import check_legible, texts

from igaku.figures import plots_scores, plots_study, plots_tokens
from igaku.study import recorded, tokens
from igaku.study.runs import find_runs, load_run
from igaku.study.study import study_of

SIZES = {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}
LANGUAGES = ("ja", "en")
AWKWARD = ("$x_1$ <b>&", "_hidden_", "医師国家試験用モデル" * 5, "a/very-long-name" * 5)


def exam(sizes=SIZES):
    """A made-up exam in which everything the figures look at is known."""
    human = (40.0, 70.0, 85.0, 95.0)
    return [
        {
            "problem_id": f"116{section}{i}", "section": section, "gold": ["a"],
            "points": 1, "kind": "choice", "text_only": i % 4 > 0,
            "category": ("循環器", "神経", "産科")[i % 3], "stem": None,
            "kinki": ["c"] if i == 1 else None, "human_accuracy": human[i % 4],
        }
        for section, n in sizes.items()
        for i in range(1, n + 1)
    ]  # fmt: skip


def reply(question, is_right, **changes):
    found = {"outcome": "answered", "correct": is_right, "content": "a"}
    found |= {"answer": ["a" if is_right else "b"], "finish_reason": "stop"}
    kept = {"problem_id": question["problem_id"], "section": question["section"]}
    return kept | found | changes


def build(folder, right=40, asked=400, questions=None, lines=None, **about):
    """A run of so many questions, so many of each section right."""
    questions = questions or exam()
    if lines is None:
        lines = [
            reply(q, int(q["problem_id"][4:]) <= right, completion_tokens=20 + i)
            for i, q in enumerate(questions[:asked])
        ]
    folder.mkdir()
    card = {key: about.pop(key) for key in ("label", "color", "marker") if key in about}
    card |= {"size_gb": about.pop("size", None), "origin": about.pop("origin", "seed")}
    settings = {"model": folder.name, "exam": 2022, "max_tokens": 100, "card": card}
    manifest = {"settings": settings | about, "questions": questions}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "answers.jsonl").write_text(text)
    return load_run(folder)


@pytest.fixture
def make(tmp_path):
    def _make(name="run", *args, **about):
        return build(tmp_path / name, *args, **about)

    return _make


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """Five finished runs of close sizes, one that broke off, and two references."""
    folder = tmp_path_factory.mktemp("eight")
    runs = [
        build(folder / f"m{i}", 40 + i, label=f"モデル {i}", size=12 + i / 100)
        for i in range(5)
    ]
    long = "broken off, with a rather long name"
    runs += [build(folder / "cut", 20, 125, label=long, size=11.2)]
    runs += [build(folder / "a", 30, label="GPT-4", origin="reference")]
    return [*runs, build(folder / "b", 50, label="学生多数決", origin="reference")]


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """The figures behind the pictures, in order; drawn small, as that is quick."""
    figures = []

    def kept(figure, alt):
        figures.append(figure)
        return picture(figure, alt, dpi=60)

    picture = plots_study.picture
    monkeypatch.setattr(plots_study, "picture", kept)
    return figures


def spendings(study):
    return [spent for run in study.runs if (spent := tokens.spending(run))]


FIGURES = {
    "section_heatmap": lambda s: plots_scores.section_heatmap(s, s.runs),
    "pass_lines": lambda s: plots_scores.pass_lines(s, s.runs),
    "human_accuracy": lambda s: plots_scores.human_accuracy(s, s.runs),
    "memory_accuracy": lambda s: plots_scores.memory_accuracy(s, s.runs),
    "token_curves": lambda s: plots_tokens.token_curves(s, spendings(s)),
    "budget_curves": lambda s: plots_tokens.budget_curves(
        s, [tokens.budget_curve(spent) for spent in spendings(s)]
    ),
    "token_distributions": lambda s: plots_tokens.token_distributions(s, spendings(s)),
}
every_figure = pytest.mark.parametrize("figure", FIGURES)


def draw(figure, study):
    """A figure, drawn without a warning (a missing glyph gives one) or pyplot."""
    from matplotlib import _pylab_helpers

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = FIGURES[figure](study)
    assert found.png.startswith(b"\x89PNG")
    assert not _pylab_helpers.Gcf.figs
    return found


# --- what holds for every figure ------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
@every_figure
def test_eight_runs_are_legible_and_nothing_overlaps(figure, lang, eight, drawn):
    draw(figure, study_of(eight, lang=lang))
    check_legible(drawn[0])


@every_figure
def test_labels_are_drawn_as_they_are_written(figure, make, drawn):
    short = exam({"A": 12})
    runs = [make(f"r{i}", 9, 12, short, label=label) for i, label in enumerate(AWKWARD)]
    runs += [make("sized", 9, 12, short, label="5$ for $5", size=1.0)]
    found = draw(figure, study_of(runs, lang="en"))
    assert "5$ for $5" in found.alt
    read = [text._preprocess_math(text.get_text()) for text, _ in texts(drawn[0])]
    assert any("5$ for $5" in told for told, _ in read)
    assert not any(is_math for _, is_math in read)


@pytest.mark.parametrize("lang", LANGUAGES)
@every_figure
def test_no_run_at_all_is_no_data(figure, lang):
    alt = draw(figure, study_of([], lang=lang)).alt
    assert {"ja": "データなし", "en": "no data"}[lang] in alt


@every_figure
def test_one_run_with_everything_right_is_drawn(figure, make):
    run = make("only", 75, 12, exam({"A": 12}), size=2.0)
    assert "only" in draw(figure, study_of([run], lang="en")).alt


@every_figure
def test_runs_that_do_not_fit_are_counted(figure, make):
    questions = exam({"A": 8})
    runs = [make(f"m{i:02}", 4, 8, questions, size=20.0 - i) for i in range(14)]
    alt = draw(figure, study_of(runs, lang="en")).alt
    assert "12 of 14 runs" in alt and "m11" in alt and "m12" not in alt


def test_a_run_looks_alike_however_few_are_shown(make, drawn):
    runs = [make("a", 40), make("b", 50), make("c", 60)]
    study = study_of(runs)
    plots_scores.pass_lines(study, [study.run("c")])
    colour, marker = plots_study.looks(study)["c"]
    marks = [line for line in drawn[0].axes[0].lines if line.get_marker() == marker]
    assert [mark.get_color() for mark in marks] == [colour]


def test_two_runs_of_one_model_share_a_colour_and_not_a_marker(make):
    card = {"color": "#0072B2", "marker": "o"}
    look = plots_study.looks(study_of([make("a", **card), make("b", **card)]))
    assert look["a"] == ("#0072B2", "o")
    assert look["b"][0] == "#0072B2" and look["b"][1] != "o"


def test_references_are_grey_last_and_each_with_a_marker_of_its_own(make):
    two = [make(name, origin="reference") for name in ("gpt3", "gpt4")]
    study = study_of([*two, make("x")])
    look = plots_study.looks(study)
    grey = plots_study.GREY
    assert look["gpt3"][0] == look["gpt4"][0] == grey != look["x"][0]
    assert look["gpt3"][1] != look["gpt4"][1]
    shown = plots_study.shown_first(study.runs)
    assert [run.name for run in shown] == ["x", "gpt3", "gpt4"]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9), st.floats(0.1, 9))
def test_crowded_values_are_moved_apart_and_keep_order_and_mean(values, gap):
    moved = plots_study.apart(values, gap)
    order = sorted(range(len(values)), key=lambda i: values[i])
    steps = [moved[j] - moved[i] for i, j in pairwise(order)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert sum(moved) == pytest.approx(sum(values), abs=1e-6)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9, unique=True))
def test_values_with_room_between_them_stay(values):
    assert plots_study.apart(values, 0.9) == values


def test_kinds_of_number_are_named_only_where_they_meet(make):
    measured, lab = make("a"), make("b", base_url="lab", exam="calibration")
    study = study_of([measured, lab], lang="en")
    assert plots_study.names(study, [measured]) == ["a †"]
    assert plots_study.names(study, study.runs) == ["a †\n[measured]", "b †\n[lab]"]


# --- scores ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "told"),
    [
        ("ja", ("A 40/75 53.3 %", "B 5/5 100.0 % 5/50実施", "C 未実施")),
        ("en", ("A 40/75 53.3 %", "B 5/5 100.0 % 5/50 asked", "C not run")),
    ],
)
def test_the_heat_map_tells_partly_asked_and_not_asked_sections(
    lang, told, make, drawn
):
    alt = draw("section_heatmap", study_of([make(right=40, asked=80)], lang=lang)).alt
    assert all(part in alt for part in told)
    hatched = [patch for patch in drawn[0].axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 4  # C, D, E and F
    mesh = drawn[0].axes[0].collections[0]
    assert mesh.get_array().mask.ravel().tolist() == [False] * 2 + [True] * 4 + [False]


def test_both_pass_lines_are_told_with_what_is_missing(make):
    run = make(right=40)  # of every section; any answer to 116A71 earns its point
    alt = draw("pass_lines", study_of([run], lang="en")).alt
    assert "240/400 = 60.0%" in alt
    assert "compulsory 80/100 78 short, general 161/300 53 short, 禁忌 0" in alt


def test_a_chosen_kinki_option_is_counted(make):
    questions = exam()
    lines = [reply(q, False, answer=["c"]) for q in questions]
    alt = draw("pass_lines", study_of([make(lines=lines)], lang="ja")).alt
    assert "禁忌 6" in alt  # one in each section


def test_unfinished_runs_are_not_judged_and_are_hollow(make, drawn):
    study = study_of([make("whole"), make("part", asked=100)], lang="en")
    found = draw("pass_lines", study)
    assert "part † 65/100 = 65.0% (55.3–73.6), not judged" in found.alt
    assert "not finished" in found.alt
    faces = [line.get_markerfacecolor() for line in drawn[0].axes[0].lines]
    assert faces.count("white") == 1


def test_the_lab_has_no_pass_line(make, drawn):
    run = make("lab", base_url="lab", exam="calibration")
    alt = draw("pass_lines", study_of([run], lang="en")).alt
    assert run.is_lab and "no line (lab)" in alt
    assert len(drawn[0].axes) == 1
    assert not [x for x in drawn[0].axes[0].lines if x.get_linestyle() == "--"]


def test_lines_that_were_not_verified_say_so(make):
    told = draw("pass_lines", study_of([make(exam=2018)], lang="en")).alt
    assert "lines of 2018 were not checked" in told
    assert "not checked" not in draw("pass_lines", study_of([make("b")], lang="en")).alt


def test_bands_of_examinees_carry_their_counts(make):
    alt = draw("human_accuracy", study_of([make(right=75)], lang="en")).alt
    assert "0–59 % 96/96 = 100.0%" in alt and "90–100 % 100/100" in alt


def test_sizes_that_nearly_coincide_are_drawn_apart_and_printed_exactly(make, drawn):
    runs = [make("big", 50, size=22.26), make("a", 49, size=12.10)]
    runs += [make("b", 48, size=12.11), make("none", 48)]
    found = draw("memory_accuracy", study_of(runs, reference="big", lang="en"))
    assert "12.10 GB, 46% smaller" in found.alt and "12.11 GB, 46% smaller" in found.alt
    assert "Not drawn (no size, or another exam): none" in found.alt
    axes = drawn[0].axes[0]
    marks = [line for line in axes.lines if line.get_marker() not in ("None", "|")]
    pixels = sorted(axes.transData.transform(m.get_xydata())[0][0] for m in marks)
    gaps = [b - a for a, b in pairwise(pixels)]
    assert min(gaps) > 6 / 72 * drawn[0].dpi  # marks are six points wide


def test_the_margin_hangs_below_the_reference(make, drawn):
    runs = [make("big", 50, size=22.0), make("small", 40, size=11.0)]
    draw("memory_accuracy", study_of(runs, reference="big", margin=0.05))
    band = drawn[0].axes[0].patches[0].get_bbox()
    top = 100 * 300 / 400  # fifty of each section
    assert (band.y0, band.y1) == pytest.approx((top - 5, top))


def test_small_models_are_sized_in_megabytes(make):
    alt = draw("memory_accuracy", study_of([make(size=0.0021)], lang="en")).alt
    assert "2.10 MB" in alt


def test_the_recorded_runs_give_the_numbers_of_the_record(
    shared, tmp_path, monkeypatch
):
    monkeypatch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
    recorded.import_folder(
        (shared / "data/recorded").glob("gpt-oss-20b-*.json"), tmp_path
    )
    study = study_of(find_runs(tmp_path), lang="en")
    lines = draw("pass_lines", study).alt
    assert "openai @8bit † 286/400 = 71.5% (66.9–75.7)" in lines
    assert "compulsory 153/197 5 short, general 211/297 3 short, 禁忌 2" in lines
    assert "17/125 = 13.6%" in lines and lines.count("not judged") == 3
    assert "C not run" in draw("section_heatmap", study).alt
    curves = draw("token_curves", study).alt
    assert "openai @8bit † cut 0/400 = 0.0%" in curves and "seconds" in curves


# --- tokens ---------------------------------------------------------------------------


@pytest.fixture
def cut(make):
    """Five replies: at 10, 20 and 30 tokens, and two that the budget of 100 cut."""
    questions = exam({"A": 5})
    lines = [
        reply(q, n < 30, completion_tokens=n)
        for q, n in zip(questions[:3], (10, 20, 30), strict=True)
    ]
    lost = {"outcome": "truncated", "content": "", "finish_reason": "length"}
    lines += [reply(q, False, completion_tokens=100, **lost) for q in questions[3:]]
    return make("cut", questions=questions, lines=lines)


def test_cut_replies_are_ticks_and_never_drawn_as_ends(cut, drawn):
    alt = draw("token_curves", study_of([cut], lang="en")).alt
    assert "cut 2/5 = 40.0%" in alt and "median 30 tokens" in alt
    lines = drawn[0].axes[0].lines
    curve = next(line for line in lines if line.get_drawstyle() == "steps-post")
    assert curve.get_ydata()[-1] == pytest.approx(0.4)
    ticks = next(line for line in lines if line.get_marker() == "|")
    assert list(ticks.get_xdata()) == [100, 100]
    assert ticks.get_ydata() == pytest.approx([0.4, 0.4])
    assert "40%" in [text.get_text() for text, _ in texts(drawn[0])]


def test_a_smaller_budget_is_told_beside_the_runs_own(cut):
    alt = draw("budget_curves", study_of([cut], lang="en")).alt
    assert "100 tokens: 40.0%, no answer 40.0%" in alt


def test_each_outcome_has_its_count_and_its_median_but_the_cut_ones(cut):
    alt = draw("token_distributions", study_of([cut], lang="en")).alt
    assert "right 2 (median 15 tokens), wrong 1 (median 30 tokens), cut 2" in alt


def test_runs_without_token_counts_have_a_panel_in_seconds(make, drawn):
    lines = [reply(q, True, seconds=1.0 + i) for i, q in enumerate(exam({"A": 9}))]
    timed = make("timed", questions=exam({"A": 9}), lines=lines)
    study = study_of([make("counted"), timed], lang="en")
    for figure in ("token_curves", "token_distributions"):
        draw(figure, study)
        labels = [axes.get_xlabel() for axes in drawn[-1].axes]
        assert len(labels) == 2
        assert labels[0] == "Tokens generated" and "recorded no tokens" in labels[1]
        budgets = [
            sum(t.get_text().startswith("max_tokens") for t in axes.texts)
            for axes in drawn[-1].axes
        ]
        assert budgets == [1, 0]  # max_tokens is no number of seconds
