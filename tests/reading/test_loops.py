"""When reasoning is a loop: laws, texts of the lab, real recordings."""

import doctest
import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igaku.exam import calibration
from igaku.reading import loops as looping
from train.dialogue import EFFORTS, reasoning


def test_the_examples_in_the_docstrings_hold():
    found = doctest.testmod(looping)
    assert found.attempted >= 4 and found.failed == 0


@given(st.text("ab", max_size=60))
def test_the_repeated_suffix_is_the_longest_there_is(text):
    ends = [n for n in range(1, len(text)) if text[-n:] in text[:-1]]
    assert looping.repeated_suffix(text) == max(ends, default=0)


LONG_TEXTS = {
    "one letter": "a" * 16_000,
    "almost one letter": "a" * 8_000 + "b" + "a" * 7_999,
    "a long period": ("ab" * 999 + "c") * 8,
    "no repetition": "".join(random.Random(1).choices("abcdefgh", k=16_000)),
}


@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS.keys())
def test_a_long_text_is_judged_in_milliseconds(text):
    began = time.perf_counter()
    looping.is_looping(text)
    assert time.perf_counter() - began < 0.5  # about 0.003; a quadratic search: minutes


@pytest.mark.parametrize("effort", EFFORTS)
def test_no_chain_of_the_lab_is_called_a_loop(effort):
    rng = random.Random(3)
    kinds = [("kth", 5), ("kth", 6), ("top", 5), ("number", 4)] * 50
    problems = [calibration.draw_problem(rng, kind, size) for kind, size in kinds]
    chains = [reasoning(problem, effort) for problem in problems]
    assert not any(map(looping.is_looping, chains))
    # A chain that starts again and again is one, however many numbers are in it.
    assert all(looping.is_looping(f"{chain};" * 16) for chain in chains)


def test_real_reasoning_is_no_loop_until_it_repeats(shared):
    name = "prompt_comparison_gpt-oss-safeguard-20b-mlx-mt4096_2022_B.json"
    body = json.loads((shared / "data/recorded" / name).read_text("utf-8"))
    texts = [r["reasoning"] for r in body["details"]["baseline"] if r.get("reasoning")]
    assert len(texts) > 40
    assert not any(map(looping.is_looping, texts))
    assert all(looping.is_looping(text + text[-40:] * 3) for text in texts)
    assert all(looping.is_looping(text * 4) for text in texts)


def test_a_loop_that_counts_on_is_a_loop():
    steps = [
        f"Step {i}: check the options once more, none is clear." for i in range(40)
    ]
    assert looping.repeated_suffix("".join(steps)) < 60
    assert looping.is_looping("".join(steps))


@pytest.mark.parametrize(
    "end", ["", "!!!", "……", "|---|---|---|", "はい、はい、はい。"]
)
def test_a_short_repetition_at_the_end_is_no_loop(end):
    assert not looping.is_looping(f"鑑別には心電図と採血が要る。よって c を選ぶ。{end}")
