"""Letters, for every question of the real exam, any text, and any length."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import THOROUGH
from timing import assert_linear

from igaku.exam.questions import Question
from igaku.reading.letters import read_letters
from igaku.reading.plain import plain_of

CHOICES = ["安静", "輸液", "陣痛開始時の投与", "経過観察", "手術"]


def question(answer="c", text="正しいのはどれか。"):
    row = {"problem_id": "116A1", "problem_text": text, "answer": list(answer)}
    return Question.from_record(row | {"choices": CHOICES})


# --- an answer in front of a walk through the choices --------------------------------


def listed(form: str, between: str, around: str = "{}"):
    """A way to state letters: each in a form, with words between, and around all."""

    def said(letters: str, texts: dict[str, str]) -> str:
        each = [form.format(x=x, X=x.upper(), text=texts[x]) for x in letters]
        return around.format(between.join(each))

    return said


FRONTS = {
    "seikai": listed("{x}", "と", "正解は {} です"),
    "kotae": listed("{x}", "、", "**答え：{}**"),
    "bare": listed("{x}", ", "),
    "sentence": listed("{x}", "と", "{}が正解です。"),
    "choices": listed("{x}: {text}", "と", "正解は {} です。"),
    "labels": listed("{x}: {text}", "\n"),
    "below": listed("{x}. {text}", "\n", "正解：\n{}"),
    "heading": listed("**{x}**", "\n", "## 解答\n\n{}"),
    "pointed": listed("{x}", "と", "最も適切なのは{}です。"),
    "english": listed("{X}", ", ", "Answer: {}"),
    "sentence-en": listed("({X})", " and ", "The correct answer is {}."),
    "box": listed("{X}", ", ", r"\boxed{{{}}}"),
    "boxes": listed(r"\boxed{{\text{{{X}}}}}", " and "),
    "json": listed('"{x}"', ", ", '{{"answer": [{}]}}'),
    "tag": listed("{x}", ",", "<answer>{}</answer>"),
    "chinese": listed("{X}", " 和 ", "答案是 {}。"),
    "korean": listed("{X}", ", ", "정답: {}"),
    "final": listed("{x}", ", ", "最終回答：{}"),
}
# What a step says: label, the choice's text, the verdict, an explanation.
STEPS = {
    "colon": "{x}: {text} — {said}",
    "reasoned": "{x}. {text}：{why}ため、{said}。",
    "unjudged": "{x}. {text}：{why}。",
    "bullet": "- **{x}. {text}**: {why}。{said}。",
    "bracket": "({x}) {said} {text}。{why}。",
    "sentence": "{x}は{text}であり、{why}ため{said}である。",
    "below": "{x}\n{said}。{why}。",
    "bold": "**{x}. {text}**\n{why}。{said}",
    "table": "| {x} | {text} | {said} |",
    "capital": "{X}) {text} - {said}.",
    "named": "選択肢{x}（{text}）は{said}：{why}。",
    "section": "### {X}: {text}\n\n{why}。\n\n判定：{said}",
    "row": "{x}.{said}",
    "arrow": "{x}：{text}→{said}",
    "sign-first": "{sign} {x}. {text}",
}
BETWEEN = {"row": " ", "sentence": "", "section": "\n\n"}
LINES = {"bullet", "below", "bold", "table"}  # each step begins a line
VERDICTS = [
    *(("○", "×"), ("正しい", "誤り"), ("適切", "不適切"), ("正解", "不正解")),
    *(("correct", "incorrect"), ("正", "誤"), ("✓", "✗"), ("正确", "错误")),
]
WHY = ["急性期には有効である", "この疾患では認められない", "小児に多い", "頻度は低い"]
BREAKS = ["\n", "\n\n", "\n\n解説：\n", "\n\n### 各選択肢の検討\n\n", "\n\n【解説】\n"]


def walk(texts: dict[str, str], right: str, skip: bool, draw: random.Random) -> str:
    """Any walk through the choices that agrees with the answer."""
    style, (good, bad) = draw.choice(list(STEPS)), draw.choice(VERDICTS)
    gaps = ["\n", "\n", "\n\n", " "][: 3 if style in LINES else 4]
    between = BETWEEN.get(style, draw.choice(gaps))
    steps = []
    for x, text in texts.items():
        said = good if x in right else bad
        words = {"x": x, "X": x.upper(), "text": text, "said": said}
        words["sign"] = "○" if x in right else "×"
        if not (skip and x in right):
            steps.append(STEPS[style].format(**words, why=draw.choice(WHY)))
    return between.join(steps)


@pytest.fixture(scope="module")
def exam(shared: Path) -> list[Question]:
    folder = shared / "data" / "igakuqa"
    if not folder.exists():
        pytest.skip("the exam is not here")
    rows = [
        json.loads(line)
        for path in sorted(folder.glob("20*/11?-?.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    read = map(Question.from_record, rows)
    return [one for one in read if one.kind == "choice"]


def some(exam: list[Question], ways: Iterable[str], way: str) -> list[Question]:
    """Every third question of the exam, each asked in every third of the ways."""
    return exam if THOROUGH else exam[list(ways).index(way) % 3 :: 3]


@pytest.mark.parametrize("front", FRONTS)
def test_an_answer_in_front_of_any_walk_is_the_answer(front, exam):
    draw, wrong, asked = random.Random(front), list[tuple](), some(exam, FRONTS, front)
    for one in asked:
        right = "".join(sorted(draw.sample(one.labels, len(one.answer))))
        texts = dict(zip(one.labels, one.choices, strict=True))
        skip = draw.random() < 0.3 and front != "labels"
        # Lines of labels alone run into a walk of such lines without a gap.
        breaks = BREAKS[1:] if front in {"bare", "below", "heading"} else BREAKS
        steps = walk(texts, right, skip, draw)
        text = FRONTS[front](right, texts) + draw.choice(breaks) + steps
        answer = read_letters(text, one).answer
        if answer != tuple(right):
            wrong.append((one.problem_id, right, answer, text))
    assert len(asked) > 230
    assert wrong == []


# What may join an answer to a walk on one line; the last, where a sentence has ended.
JOINS = [" ", "\u3000", "。", "。 ", " — ", " / ", ""]


@pytest.mark.parametrize("join", JOINS)
def test_an_answer_on_the_line_of_any_walk_is_the_answer(join, exam):
    draw, wrong = random.Random(join), list[tuple]()
    for one in some(exam, JOINS, join):
        right = "".join(sorted(draw.sample(one.labels, len(one.answer))))
        texts = dict(zip(one.labels, one.choices, strict=True))
        said = {front: state(right, texts) for front, state in FRONTS.items()}
        ended = [front for front in said if said[front][-1] in "。>}"]
        front = draw.choice(list(said) if join else ended)
        skip = draw.random() < 0.3 and front != "labels"
        text = said[front] + join + walk(texts, right, skip, draw)
        answer = read_letters(text, one).answer
        if answer != tuple(right):
            wrong.append((one.problem_id, right, answer, text))
    assert wrong == []


def test_a_walk_alone_states_what_its_verdicts_say(exam):
    draw, wrong = random.Random(12), list[tuple]()
    for one in exam:
        right = "".join(sorted(draw.sample(one.labels, len(one.answer))))
        texts = dict(zip(one.labels, one.choices, strict=True))
        text = walk(texts, right, False, draw)
        while "{why}。" in text:
            text = walk(texts, right, False, draw)
        answer = read_letters(text, one).answer
        if answer not in (tuple(right), None):
            wrong.append((one.problem_id, right, answer, text))
    assert wrong == []


# --- any text ------------------------------------------------------------------------

PIECES = [
    *"abcdefABCＤ12.,、。:：()（）「」*`$\n\t {}[]\"'|○×→~_#-",
    *(
        "答え",
        "正解は",
        "不正解",
        "のは",
        "です",
        "と",
        "か",
        "または",
        "Answer: ",
        " is ",
    ),
    *("correct", "incorrect", "誤り", "正しい", "\\boxed{", "\\text{", "<answer>"),
    *("</answer>", "安静", "輸液", '"answer": ', "㍿", "ﷺ", "⒞", "か\u3099", "c\u0332"),
    *("\u200b", "\ufe0f", "\ue000", "\ue100", "\ud83d", "訂正", "答案是", "정답", "选"),
]
texts = st.one_of(
    st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
)
asked = st.sampled_from(
    [question("c"), question("ac"), question("c", "誤りはどれか。")]
)


@settings(max_examples=500, deadline=None)
@given(texts, asked, st.booleans())
def test_a_span_is_a_place_of_the_text_that_was_read(text, one, permissive):
    reading = read_letters(text, one, permissive)
    assert (reading.answer is None) == (reading.span is None)
    if reading.span:
        start, end = reading.span
        assert 0 <= start < end <= len(text)
        assert reading.rule
        assert reading.second != reading.answer


@settings(max_examples=300, deadline=None)
@given(texts, asked)
def test_the_permissive_reader_keeps_what_has_the_right_size(text, one):
    strict = read_letters(text, one)
    permissive = read_letters(text, one, permissive=True)
    if len(strict.answer or ()) == len(one.answer):
        assert permissive == strict
    if permissive.answer is None:
        assert strict.answer is None


@settings(max_examples=300, deadline=None)
@given(texts)
def test_every_character_of_a_plain_text_knows_its_place(text):
    plain = plain_of(text)
    assert len(plain.text) == len(plain.starts) == len(plain.ends)
    assert list(plain.starts) == sorted(plain.starts)
    for start, end in zip(plain.starts, plain.ends, strict=True):
        assert 0 <= start < end <= len(text)
    assert plain_of(plain.text.replace("\\", "")) is not None


# --- cost ----------------------------------------------------------------------------

REPEATED = [
    *(
        "答え: a ",
        "答え: a\n",
        "答え",
        "答え：",
        "正解は",
        "不正解: a ",
        "Answer: ",
        "the ",
    ),
    *("answer is ", "it is ", "I think ", "might be a ", "first, i thought ", "最終"),
    *(
        "a",
        "a ",
        "a、",
        "a, ",
        "(a)",
        "(",
        "( ",
        "（「",
        "a:",
        "a: x\n",
        "a\n",
        "a\n\n",
    ),
    *("a: 誤り\n", "a: 誤り b: 正しい ", "- a. x\n", "| a | x | × |\n", "aは", "a か "),
    *(
        "aではなく",
        "not a but ",
        "a より ",
        "a と思われがち",
        "○",
        "×a\n",
        "→",
        "||",
        "--",
    ),
    *("\n", "\n ", " \t", "ﷺ", "㍿", "⒜", "c\u0301", "\u0301", "\u200b", "\ud83d"),
    *(
        "\\boxed{",
        "\\boxed{a}",
        "\\boxed{\\text{",
        "{",
        "}",
        "\\",
        "$a$ ",
        "\\color{x}",
    ),
    *('"answer": ', '"answer": "a", ', '{"a": ', '"a": "x", ', "'", '"', "<answer>"),
    *("<answer>a</answer>", "<", "<b ", "</", "~~a", "**", "_a_", "安静", "a: 安静 "),
    *(
        "訂正: a",
        "正しくは",
        "选",
        "选A",
        "정답: a",
        "答案是 a 和 ",
        "のはa",
        "よってa、",
    ),
    *("推奨グレード\nA\n", "a\n不適切。\n\n", "答え: c a: x b: y d: z ", "× a. x "),
    *("a。b。c。", "a b c d e ", "一つ目はa、"),
    *(
        "abcdefgh",
        "e. coli ",
        "a+b",
        "答え(形式)",
        "例: ",
        "解:",
        "正しい: a ",
        "です。",
    ),
]


@pytest.mark.parametrize("piece", REPEATED)
def test_reading_takes_time_in_proportion_to_the_text(piece):
    assert_linear(lambda text: read_letters(text, question("ac")), piece)


@pytest.mark.parametrize("piece", [", ", "、", "・ ", "と", " / ", " and "])
def test_what_stands_between_a_label_and_its_words_takes_no_longer(piece):
    assert_linear(lambda text: read_letters(f"a: {text}x\nb: y", question("c")), piece)
