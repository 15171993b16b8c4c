"""The order of choices: what a seed does to a question, and what it leaves alone."""

from collections import Counter

import pytest

import igaku
from igaku.exam.choices import is_bound, order_of, positions, released, shown

TEXTS = ("胃癌", "肝癌", "膵癌", "大腸癌", "食道癌")


def question(choices=TEXTS, number="116A1", **more):
    row = {"problem_id": number, "problem_text": "どれか。", "choices": list(choices)}
    return igaku.Question.from_record(row | {"answer": ["c"]} | more)


def test_a_seed_gives_one_order_for_good():
    # Runs of today and of next year must show the same: it is on no machine's hash.
    assert order_of(question(), 0) == order_of(question(), 0) == "cdeba"
    orders = {order_of(question(), seed) for seed in range(200)}
    assert len(orders) > 80 and all(sorted(order) == list("abcde") for order in orders)
    assert order_of(question(number="116A2"), 0) != order_of(question(), 0)
    assert order_of(question(), "as_released") is None


def test_a_shown_question_is_the_same_question_under_other_letters():
    asked = question(answer=["a", "c"])
    seen = shown(asked, "cadbe")
    assert seen.choices == ("膵癌", "胃癌", "大腸癌", "肝癌", "食道癌")
    assert seen.answer == ("a", "b") and seen.accepted == (("a", "b"),)
    assert released(seen.answer, "cadbe") == asked.answer
    assert positions(asked.answer, "cadbe") == seen.answer
    assert shown(asked, None) == asked and released(None, "cadbe") is None


def test_the_gold_stands_behind_each_letter_as_often(shared):
    exam = [
        q
        for q in igaku.load_exam(2022, data_dir=shared / "data/igakuqa")
        if len(q.answer) == 1 and q.choices
    ]
    for seed in range(5):
        moved = [q for q in exam if order_of(q, seed)]
        found = Counter(shown(q, order_of(q, seed)).answer[0] for q in moved)
        assert len(moved) > 250 and min(found.values()) > len(moved) / 8


@pytest.mark.parametrize(
    ("choices", "bound"),
    [
        (TEXTS, False),
        ((), True),
        (("①", "②", "③", "④", "⑤"), True),
        (("0", "1", "2", "3", "4"), True),
        (("ア", "イ", "ウ", "エ", "オ"), True),
        (("2", "4", "20", "40", "200"), False),
        (("Aは心房", "Bは弁", "Cは心室", "Dは弁", "Eは心房"), True),
        (("A型肝炎", "結核", "梅毒", "麻疹", "風疹"), False),
        (("ビタミンA", "ビタミンB", "ビタミンC", "ビタミンD", "葉酸"), False),
        (("胃癌", "肝癌", "aとb", "膵癌", "食道癌"), True),
        (("胃癌", "肝癌", "膵癌", "上記すべて", "食道癌"), True),
        (("cancer", "ulcer", "polyp", "a score or ratio", "All of the above"), True),
        (("cancer", "ulcer", "Gleason score", "ratio", "polyp"), False),
    ],
)
def test_a_question_that_means_its_choices_by_place_is_left_alone(choices, bound):
    gold = ["c"] if choices else ["12"]
    asked = question(choices, answer=gold)
    assert is_bound(asked) == bound
    assert (order_of(asked, 3) is None) == bound


def test_the_docs_count_what_is_left_alone_in_exam_116(shared):
    assert (
        sum(
            is_bound(q) for q in igaku.load_exam(2022, data_dir=shared / "data/igakuqa")
        )
        == 20
    )
