"""What each figure says: true positions, counts, walls, and what may not be mixed."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tidy
from hypothesis import given
from hypothesis import strategies as st
from legible import printed
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.patches import Rectangle
from tidy import draw

from igaku.figures import style
from igaku.figures.rows import spread


@pytest.fixture(autouse=True)
def closed():
    with style.context():
        yield
    plt.close("all")


def marks(ax, *markers):
    """Where single marks stand: every line of one point."""
    found = [line for line in ax.lines if len(line.get_xdata()) == 1]
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), line)
        for line in found
        if not markers or line.get_marker() in markers
    ]


def is_hollow(line):
    return line.get_markerfacecolor() == style.PAPER


# --- accuracy -------------------------------------------------------------------------


def test_every_run_has_one_mark_at_its_share_and_its_counts():
    ax = draw("accuracy", runs := tidy.runs())
    assert [x for x, _, _ in marks(ax)] == pytest.approx(list(runs["accuracy"]))
    told = printed(ax)
    assert "286/400 = 71.5%" in told and "7/75 = 9.3%  BROKEN" in told
    assert "pass mark 75%" in told


def test_a_run_that_is_not_counted_is_hollow_and_says_so():
    ax = draw("accuracy", tidy.runs())
    assert [is_hollow(line) for *_, line in marks(ax)] == [0, 0, 1, 0, 0, 0]
    assert "not counted" in printed(ax)


def test_references_stand_apart_below():
    runs = tidy.runs().iloc[::-1]
    ax = draw("accuracy", runs)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[-1].startswith("GPT-4") and names[0] == "InferenceIllusionist"


def test_the_labs_exam_has_no_pass_mark():
    assert "pass mark" not in printed(
        draw("accuracy", tidy.runs().assign(origin="lab"))
    )


# --- pairs ----------------------------------------------------------------------------


def test_the_forest_has_true_positions_one_sign_and_the_margin():
    ax = draw("forest", pairs := tidy.pairs())
    assert [x for x, _, _ in marks(ax)] == list(pairs["difference"])
    spans = [tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    assert spans == list(zip(pairs["low"], pairs["high"], strict=True))
    told = printed(ax)
    assert "−0.5 [−4.3, +3.3]" in told and "30 / 28" in told and "p = 0.795" in told
    assert "only ref. /" in told
    assert "margin −2.5" in told and "from eight" in told
    assert "candidate worse" in told and "candidate better" in told


def test_a_tainted_pair_is_hollow_and_has_no_p():
    ax = draw("forest", tidy.pairs().tail(1))
    assert [is_hollow(line) for *_, line in marks(ax)] == [True]
    assert "no test" in printed(ax) and "p =" not in printed(ax)


def test_the_axis_fits_the_rows_that_are_given():
    near, all_three = (draw("forest", tidy.pairs().head(n)) for n in (1, 2))
    assert near.get_xlim()[0] > all_three.get_xlim()[0] > -0.2


def test_pairs_of_several_references_name_both():
    pairs = tidy.pairs()
    pairs.loc[1, "reference"] = "twin"
    assert "long\n− twin" in printed(draw("forest", pairs))


def test_power_is_told_with_the_difference_that_can_be_seen_and_the_flips_allowed():
    told = printed(draw("power", tidy.pairs().head(1)))
    assert "400 questions, 58 flips: 5.3 points or more" in told
    assert "12 flips allowed within 2.5" in told


def test_pairs_of_equal_counts_are_one_curve():
    ax = draw("power", tidy.pairs())
    assert sum(len(line.get_xdata()) > 2 for line in ax.lines) == 2


# --- token use ------------------------------------------------------------------------


def drawn_replies(ax):
    """Where replies stand along the axis: those with text, and those that are blank."""
    kinds = {"#6b7178": [], "#d55e00": []}
    for found in ax.collections:
        if isinstance(found, PathCollection) and len(found.get_offsets()):
            colour = plt.matplotlib.colors.to_hex(found.get_facecolor()[0])
            kinds[colour] += list(np.asarray(found.get_offsets())[:, 0])
    return kinds.values()


def test_every_reply_is_drawn_once_at_its_seconds():
    replies = tidy.replies()
    ax = draw("token_usage", replies)
    text, blank = drawn_replies(ax)
    known = replies[replies["outcome"] != "api_error"]
    assert sorted(text) == sorted(known.loc[~known["blank"], "seconds"])
    assert sorted(blank) == sorted(known.loc[known["blank"], "seconds"])
    assert "no tokens on record" in ax.get_xlabel()


def test_walls_carry_their_budget_speed_and_counts():
    told = printed(draw("token_usage"))
    assert "1,024 tokens\nat 134/s" in told and "4,096 tokens\nat 134/s" in told
    assert "30 of 31" in told and "12 of 12" in told
    assert "31 of 47 blank" in told  # with the reply that failed
    assert "0 of 60 blank" in told


def test_counted_tokens_need_no_inference():
    ax = draw("token_usage", tidy.replies(counted=True))
    told = printed(ax)
    assert ax.get_xlabel() == "Tokens generated" and "/s" not in told
    assert "max_tokens\n1,024" in told and "max_tokens\n4,096" in told


def test_the_cap_stands_at_the_cap_though_some_runs_never_reached_it():
    ax = draw("token_usage", tidy.replies(counted=True))
    lines = [found for found in ax.collections if isinstance(found, LineCollection)]
    at = {float(part[0][0]) for line in lines for part in line.get_segments()}
    assert at == {1024, 4096}


def shares(ax):
    """What part of its bar is filled, row by row."""
    bars = [each.findobj(Rectangle) for each in ax.findobj(AnnotationBbox)]
    return [part.get_width() / whole.get_width() for whole, part in bars]


def test_counted_runs_show_the_share_of_thought_and_how_it_was_told():
    ax = draw("token_usage", tidy.thoughts())
    assert shares(ax) == pytest.approx([0.6, 0.75, 0.93, 1])
    told = printed(ax)
    assert "0 of 60 blank\nthought 60.0%" in told
    assert "12 of 72 blank\nthought ≈ 93.0%" in told
    assert "31 of 47 blank\nthought 100.0%" in told
    assert ax.get_xlabel() == "Tokens generated (≈: split by characters)"
    counted = tidy.thoughts().assign(reasoning_tokens_estimated=False)
    assert "≈" not in printed(draw("token_usage", counted))


def test_a_run_without_its_thought_on_record_has_no_share():
    replies = tidy.thoughts()
    replies.loc[replies["run"] == "four", "reasoning_tokens"] = None
    ax = draw("token_usage", replies)
    assert shares(ax) == pytest.approx([0.6, 0.93, 1])
    assert "thought 75" not in printed(ax)


def test_runs_in_seconds_are_drawn_alike_whatever_is_known_of_their_thought():
    thoughts = tidy.thoughts().assign(completion_tokens=None)
    plain, ax = draw("token_usage"), draw("token_usage", thoughts)
    assert printed(ax) == printed(plain) and not shares(ax)
    assert (
        ax.figure.get_size_inches().tolist() == plain.figure.get_size_inches().tolist()
    )


def test_runs_of_both_kinds_are_all_drawn_in_seconds():
    replies = tidy.replies(counted=True)
    replies.loc[replies["run"] == "eight", "completion_tokens"] = None
    assert "Seconds" in draw("token_usage", replies).get_xlabel()


def test_a_categorical_orders_the_rows_and_a_filter_leaves_runs_out():
    replies = tidy.replies()
    order = ["broken", "eight", "four", "long"]
    replies["run"] = pd.Categorical(replies["run"], order)
    ax = draw("token_usage", replies[replies["run"] != "four"])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [tidy.LABELS[name] for name in ("broken", "eight", "long")]


def test_the_recorded_walls_are_those_of_the_record(shared, tmp_path, monkeypatch):
    import igaku
    from igaku.study import recorded

    monkeypatch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
    files = sorted((shared / "data/recorded").glob("gpt-oss-20b-*.json"))
    recorded.import_folder(files, tmp_path)
    told = printed(draw("token_usage", igaku.load_runs(tmp_path)))
    assert "1,024 tokens\nat 134/s" in told and "1,024 tokens\nat 67/s" in told
    for counts in (
        "58 of 58",
        "22 of 87",
        "43 of 87",
        "87 of 125 blank",
        "0 of 400 blank",
    ):
        assert counts in told


# --- curves ---------------------------------------------------------------------------


def test_equal_curves_are_drawn_once_and_named_together():
    for name in ("survival", "budget"):
        ax = draw(name)
        assert "3 equal curves" in printed(ax) and "a, b, c" in printed(ax)


def test_what_was_cut_is_told_and_never_falls_to_zero():
    ax = draw("survival")
    left = np.exp(-128 / 90)
    curve = next(
        line for line in ax.lines
        if len(line.get_xdata()) > 2 and line.get_ydata()[-1] == pytest.approx(left)
    )  # fmt: skip
    assert curve.get_drawstyle() == "steps-post"
    assert f"{left:.1%} not ended" in printed(ax) and "max_tokens 128" in printed(ax)


def test_a_budget_is_told_with_what_it_scored():
    right = 0.7 * (1 - np.exp(-1024 / 900))
    assert f"{right:.1%}" in printed(draw("budget"))


# --- sections, sizes, lines, strata ---------------------------------------------------


def test_a_section_that_was_not_asked_is_hatched_and_never_zero():
    ax = draw("sections")
    told = printed(ax)
    assert "56/75\n75%" in told and "not\nasked" in told and "0/75" not in told
    assert sum(bool(patch.get_hatch()) for patch in ax.patches) == 5
    assert "297/400" in told or "all\nn = 400" in told


def test_models_stand_at_their_true_sizes():
    runs = tidy.runs()
    whole = runs[runs["counted"] & runs["status"].eq("OK") & runs["size_gb"].notna()]
    ax = draw("memory", runs)
    assert [x for x, _, _ in marks(ax)] == list(whole["size_gb"])
    told = printed(ax)
    assert "12.11 GB, 71.0%, 46% smaller" in told and "Q8" not in told


def test_few_models_are_drawn_even_if_unfinished_and_then_hollow():
    runs = tidy.runs().query("run in ['eight', 'broken']")
    ax = draw("memory", runs)
    assert [is_hollow(line) for *_, line in marks(ax)] == [False, True]


def test_sizes_of_another_exam_are_left_out():
    runs = tidy.runs()
    runs.loc[1, "exam"] = "2018"
    assert "12.11" not in printed(draw("memory", runs))


def test_small_models_are_sized_in_megabytes():
    runs = tidy.runs().head(1).assign(size_gb=0.0021)
    assert "2.10 MB" in printed(draw("memory", runs))


def test_points_stand_against_their_lines():
    ax = draw("verdict")
    told = printed(ax)
    assert "153/197, 5 short" in told and "160/197, reached" in told
    assert "4 chosen (≤ 3)" in told
    at = [x for x, *_ in marks(ax)]
    assert at == pytest.approx([153 / 197, 211 / 297, 160 / 197, 230 / 297])
    assert [is_hollow(line) for *_, line in marks(ax)] == [1, 1, 0, 0]


def test_each_level_has_a_mark_per_run_and_its_n():
    ax = draw("strata", strata := tidy.strata())
    marked = [line for line in ax.lines if line.get_marker() != "None"]
    shares = [share for line in marked for share in line.get_xdata()]
    assert sorted(shares) == sorted(strata["accuracy"])
    assert "n = 43" in printed(ax) and "90–100 %" in printed(ax)


def test_replies_without_times_or_tokens_are_a_note():
    replies = tidy.replies().assign(seconds=None)
    assert "Nothing to draw" in printed(draw("token_usage", replies))


def test_runs_that_do_not_fit_are_counted():
    runs = pd.concat([tidy.runs().head(1).assign(run=f"m{i:02}") for i in range(20)])
    ax = draw("accuracy", runs)
    assert "the first 16 of 20" in printed(ax) and len(marks(ax)) == 16
    pairs = pd.concat([tidy.pairs().head(1)] * 30)
    assert "the first 16 of 30" in printed(draw("forest", pairs))


def test_few_flips_among_many_questions_are_a_curve_too():
    pair = tidy.pairs().head(1)
    pair[["n", "flips", "only_reference", "only_candidate"]] = [1000, 1, 1, 0]
    assert "no difference" in printed(draw("power", pair))


# --- what keeps numbers apart ---------------------------------------------------------


def test_kinds_of_number_are_named_only_where_they_meet():
    runs = tidy.runs().head(2)
    assert "[" not in printed(draw("accuracy", runs))
    runs["origin"] = ["measured", "recorded"]
    told = printed(draw("accuracy", runs))
    assert "openai @8bit [measured]" in told and "[recorded]" in told


def test_lines_that_were_not_checked_say_so():
    official = tidy.official()
    for verified in (True, False):
        told = printed(draw("verdict", official.assign(verified=verified)))
        assert ("not checked" in told) is not verified


def test_a_section_asked_in_part_tells_of_how_many():
    sections = tidy.sections()
    sections.loc[0, ["asked", "right"]] = [40, 21]
    assert "21/40\nof 75" in printed(draw("sections", sections))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9), st.floats(0.1, 9))
def test_crowded_texts_are_moved_apart_and_keep_order_and_mean(values, gap):
    moved = spread(values, gap)
    order = sorted(range(len(values)), key=lambda i: values[i])
    steps = [moved[j] - moved[i] for i, j in pairwise(order)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert sum(moved) == pytest.approx(sum(values), abs=1e-6)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9, unique=True))
def test_texts_with_room_between_them_stay(values):
    assert spread(values, 0.9) == values


def test_one_reply_is_drawn_and_one_of_no_length_is_counted():
    replies = tidy.replies()
    assert "0 of 1 blank" in printed(draw("token_usage", replies.head(1)))
    replies.loc[replies["blank"], "seconds"] = 0.0
    ax = draw("token_usage", replies)
    assert f"{int(replies['blank'].sum())} of 0 s not drawn" in ax.get_xlabel()
    nothing = draw("token_usage", replies.assign(seconds=0.0))
    assert "Nothing to draw" in printed(nothing)


@pytest.mark.parametrize("name", tidy.FRAMES)
def test_a_frame_without_its_columns_is_one_sentence(name):
    import igaku

    with pytest.raises(igaku.IgakuError, match=f"figures.{name} needs the columns "):
        draw(name, tidy.FRAMES[name]().iloc[:, :1])


def test_replies_without_any_length_name_the_column_that_is_needed():
    import igaku

    replies = tidy.replies().drop(columns=["seconds", "completion_tokens"])
    with pytest.raises(igaku.IgakuError, match="needs the column seconds"):
        draw("token_usage", replies)


def test_two_runs_of_one_card_have_two_marks():
    card = {"color": "#CC79A7", "marker": "P"}
    looks = style.style_of(tidy.runs().head(2).assign(**card))
    assert looks["eight"] == ("#CC79A7", "P") != looks["four"]


def test_near_budgets_are_named_one_above_the_other():
    from legible import check_legible

    near = tidy.survival().query("run == 'cut' and x <= 120")
    frame = pd.concat([tidy.survival(), near.assign(run="near", max_tokens=120)])
    ax = draw("survival", frame)
    assert "max_tokens 120" in printed(ax) and "max_tokens 128" in printed(ax)
    check_legible(ax.figure)


def test_a_narrow_forest_has_heads_and_whole_names():
    names = {"four": "mlx-community/gpt-oss-20b-MXFP4-Q8", "long": "openai/gpt-oss-20b"}
    pairs = tidy.pairs().replace(names)
    pairs.loc[1, "reference"] = "mlx-community/gpt-oss-20b-8bit"
    with style.context(narrow=True), plt.rc_context({"figure.figsize": (3.35, 2)}):
        told = printed(draw("forest", pairs))
    assert "only ref. / cand. right" in told and "…" not in told
    assert "openai/gpt-oss-20b\n− mlx-community/gpt-oss-20b-8bit" in told
