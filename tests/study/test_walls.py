"""Where blank replies pile up in time."""

import doctest

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from replies import BUDGET, answer, blank

import igaku
from igaku.study import timing
from igaku.study.families import study_of


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(timing).failed == 0


def test_the_walls_of_the_recorded_runs(recorded_folder):
    found = igaku.walls(recorded_folder).set_index("run")
    assert len(found) == 5
    whole = found.loc["inferenceillusionist-4bit"]
    assert (whole["replies"], whole["blank"], whole["max_tokens"]) == (58, 58, 1024)
    assert whole["seconds"] == pytest.approx(7.65, rel=0.01)
    small, large = (
        found.loc[name] for name in ("safeguard-mxfp4", "safeguard-mxfp4-mt4096")
    )
    assert (small["replies"], small["blank"]) == (34, 39)
    assert small["seconds"] == pytest.approx(7.65, rel=0.02)
    assert (large["replies"], large["blank"], large["max_tokens"]) == (30, 30, 4096)
    assert large["seconds"] == pytest.approx(30.5, rel=0.01)
    # Four times the budget, four times as far: 134 tokens a second both times.
    assert large["seconds"] / whole["seconds"] == pytest.approx(3.99, abs=0.01)
    assert large["tokens_per_second"] == pytest.approx(134.5, abs=0.1)
    first, second = (row for _, row in found.loc["mlx-community-mxfp4-q4"].iterrows())
    assert (first["replies"], first["blank"]) == (22, 87)
    assert first["seconds"] == pytest.approx(7.65, rel=0.01)
    assert second["replies"] == 43
    assert second["seconds"] == pytest.approx(15.2, rel=0.01)


def test_every_blank_of_a_run_with_one_wall_took_that_long(recorded_folder):
    run = igaku.load_runs(recorded_folder, raw=False).set_index("run")
    rows = run.loc["inferenceillusionist-4bit"]
    silent = rows["blank"].astype(bool)
    assert rows.loc[silent, "seconds"].round(2).between(7.45, 7.78).all()
    answered = rows[~silent & (rows["outcome"] != "api_error")]
    assert answered["seconds"].max() < rows.loc[silent, "seconds"].min()


def test_no_wall_without_a_pile_and_no_speed_without_a_budget(run_of):
    spread = [blank(n, seconds=1.2**n) for n in range(1, 12)]
    piled = [blank(n, seconds=7.6 + n / 100) for n in range(1, 7)]
    spoke = [answer(n, seconds=7.6) for n in range(1, 20)]
    runs = [run_of(spread, "spread"), run_of(spoke, "spoke")]
    runs.append(run_of(piled, "piled", max_tokens=None))
    (row,) = igaku.walls(study_of(runs)).to_dict("records")
    assert (row["run"], row["replies"]) == ("piled", 6)
    assert pd.isna(row["max_tokens"]) and pd.isna(row["tokens_per_second"])
    (row,) = igaku.walls(study_of([run_of(piled, "told")])).to_dict("records")
    assert row["tokens_per_second"] == pytest.approx(BUDGET / row["seconds"])


TIMES = st.lists(st.floats(0.1, 100), max_size=60)


@given(TIMES)
@example([40.0, 40.0, 40.0, 41.0, 43.0])
def test_piles_are_large_near_and_share_no_reply(times):
    seconds = pd.Series(times, dtype=float)
    found = timing.piles(seconds)
    members = [place for pile in found for place in pile.index]
    assert len(members) == len(set(members))
    for pile in found:
        assert len(pile) >= max(timing.FEWEST, timing.SHARE * len(seconds))
        assert pile.max() <= pile.min() * timing.NEAR**2 * (1 + 1e-9)
    left = seconds.drop(members)
    for time in left:  # no pile is left behind
        near = left[left.between(time / 1.05, time * 1.05)]
        about = near.between(near.median() / 1.05, near.median() * 1.05)
        assert about.sum() < max(timing.FEWEST, timing.SHARE * len(seconds))


def test_a_long_run_is_looked_through_at_once():
    seconds = pd.Series(range(1, 200_001), dtype=float) % 977 + 1
    assert all(len(pile) >= 40_000 for pile in timing.piles(seconds))
