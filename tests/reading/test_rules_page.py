"""The page on reading names the rules: each of its examples is read as it says."""

import re

import pytest

from igaku.exam.questions import Question
from igaku.paths import PACKAGE
from igaku.reading.answer import reading_of
from igaku.reading.statements import Force

CHOICES = ["細菌性肺炎", "自然気胸", "気管支喘息", "心不全", "肺血栓塞栓症"]
ROW = re.compile(r"\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")


def examples(page):
    text = (PACKAGE.parent / "docs" / page).read_text("utf-8")
    return [tuple(map(str.strip, found)) for found in ROW.findall(text)]


def question(said):
    about = {"problem_id": "116A1", "problem_text": "最も考えられるのはどれか。"}
    if said.isdecimal():
        about = {"problem_id": "116A1", "problem_text": "BMI は ①②.③ である。"}
        return Question.from_record(about | {"answer": [said], "choices": []})
    return Question.from_record(about | {"answer": [said], "choices": CHOICES})


@pytest.mark.parametrize("page", ["reading.md", "reading.ja.md"])
def test_each_example_is_read_as_the_page_says(page):
    for rule, reply, strict, permissive in examples(page):
        asked, text = question(permissive), reply.replace(" ⏎ ", "\n")
        for told, lenient in ((strict, False), (permissive, True)):
            reading = reading_of(text, asked, lenient)
            letters = ", ".join(reading.answer or "–")
            assert letters == told, (rule, reply, reading)
            assert told == "–" or reading.rule == rule, (reply, reading)


def test_both_pages_have_the_same_examples_the_firmest_first():
    english, japanese = examples("reading.md"), examples("reading.ja.md")
    assert english == japanese and len(english) >= 20
    named = [rule.upper() for rule, *_ in english if rule.upper() in Force.__members__]
    forces = [Force[name] for name in named]
    assert forces == sorted(forces, reverse=True)
