"""What became of a reply: cut, full, looping, a tool call, and what was declared."""

import pytest
from timing import assert_linear

from igaku.exam.questions import Question
from igaku.reading.answer import outcome_of
from igaku.reading.loops import is_looping
from igaku.reading.readings import LIMIT
from igaku.reading.reply import Reply, read_reply

ROW = {
    "problem_id": "998A1",
    "problem_text": "まず行うべき検査はどれか。",
    "choices": ["頭部CT", "血液培養", "胸部X線", "心エコー", "尿沈渣"],
}
ONE = Question.from_record(ROW | {"answer": ["c"]})
TWO = Question.from_record(ROW | {"answer": ["a", "c"]})
CUT = {"finish_reason": "length", "prompt_tokens": 700, "completion_tokens": 1024}
PROSE = "胸部X線で右下肺野に浸潤影を認め、発熱と咳嗽が続いている。"


def cut(content, **told):
    return Reply(content=content, **(CUT | told))


@pytest.mark.parametrize(
    "content",
    [
        "Okay, let me see. The answer is b since a is out. But wait, the question says",
        f"{PROSE}答え: b かもしれないが、",
        f"{PROSE}よって b が疑わしい。次に",
        "答え: b\n\nいや、待って。もう一度考えると",
        "Answer: B\n\nWait, however, the culture",
        "b が考えやすい。しかし",
        "\\boxed{b",
        *(f"答え: b{tail}" for tail in (" が", " は", " の可能性", "も", " ではな")),
        *(f"The answer is b{tail}" for tail in (" because", " since the", ", but")),
        "まず a を検討する。",
    ],
)
def test_what_a_cut_reply_said_on_the_way_is_not_its_answer(content):
    graded = outcome_of(cut(content), ONE, 1024)
    assert (graded.outcome, graded.answer) == ("truncated", None)
    assert graded.cause == "budget"


@pytest.mark.parametrize(
    "content",
    [
        f"答え: c\n\n理由: {PROSE}",
        f"c\n\n{PROSE}",
        f"**正解: c**\n{PROSE}",
        f"{PROSE}\n\n答え: c\n\n補足: {PROSE}",
        f"Answer: C\n\nExplanation: {PROSE}",
        "Answer: C\n\nFever is present, however mild, but the film shows an infiltrate",
        "答え: c\n\n胸部X線で浸潤影を確認し、しかし胸水は認めないため",
    ],
)
def test_an_answer_declared_before_the_cut_counts(content):
    graded = outcome_of(cut(content), ONE, 1024)
    assert (graded.outcome, graded.answer, graded.cause) == ("answered", ("c",), None)
    start, end = graded.reading.span
    assert "c" in content[start:end].lower()


@pytest.mark.parametrize("content", ["答え: a,", "答え: a、", "a と", "Answer: A and"])
def test_half_a_list_is_no_answer(content):
    assert outcome_of(cut(content), TWO, 1024).outcome == "truncated"


def test_a_single_letter_at_a_sure_cut_may_be_the_first_of_a_word():
    assert outcome_of(cut("The answer is a"), ONE, 1024).outcome == "truncated"
    assert outcome_of(cut("答え: c"), ONE, 1024).outcome == "truncated"
    unsure = Reply(content="c", completion_tokens=1023)
    assert outcome_of(unsure, ONE, 1024).answer == ("c",)


LOOPS = [
    "はい、" * 30,
    "正解は c です。" * 40,
    "答え: c\n" * 60,
    "Let me check again. So the answer is c. " * 20,
    "".join(f"Step {i}: the correct answer is c: chest film.\n\n" for i in range(40)),
    PROSE + "c" * 400,
    "".join(f"{i}. {i}. 胸部X線を撮影するときです。\n\n" for i in range(8)),
    "".join(f"{label}: 経過をみて帰宅を許可する。\n" for label in "abcdefghijk"),
    " ".join(f"{i}." for i in range(1, 400)),
    PROSE + "、".join(f"所見{i}" for i in range(1, 90)),
]


@pytest.mark.parametrize("text", LOOPS)
def test_a_loop_that_was_cut_is_never_answered(text):
    graded = outcome_of(cut(text), ONE, 1024)
    assert (graded.outcome, graded.answer) == ("truncated", None)
    assert graded.cause == "looping"
    silent = outcome_of(cut("", reasoning=text), ONE, 1024)
    assert (silent.outcome, silent.cause) == ("truncated", "looping")


def test_a_servers_own_guard_against_loops_is_told():
    graded = outcome_of(Reply(content="答え: c", finish_reason="repetition"), ONE, 1024)
    assert (graded.outcome, graded.cause) == ("truncated", "looping")


@pytest.mark.parametrize(
    "text",
    [
        "a: 誤り\nb: 誤り\nc: 正しい\nd: 誤り\ne: 誤り",
        "".join(f"{label}: {PROSE}\n" for label in "abcde"),
        "答え: c\n答え: c",
        "用量は 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 mg の順に増やす。",
        "| a | × |\n| b | × |\n| c | ○ |\n| d | × |\n| e | × |",
    ],
)
def test_a_walk_through_the_choices_is_no_loop(text):
    assert not is_looping(text) or len(text) >= 60 * 3


@pytest.mark.parametrize("sign", ["．", "・", "\n", " ."])
def test_one_sign_over_and_over_is_a_loop_and_a_ruled_line_is_none(sign):
    said = "これは歴史であるよ"
    assert is_looping(said + sign * 200)
    assert not is_looping(f"{said}\n" + "-" * 80)
    assert not is_looping(f"{said}\n|" + "---|" * 5)


def test_what_is_too_long_to_be_a_reply_is_looping_and_not_read():
    graded = outcome_of(Reply(content="答え: c。" + "あ" * LIMIT), ONE)
    assert (graded.outcome, graded.cause) == ("unparsable", "looping")


@pytest.mark.parametrize(
    ("told", "budget", "window", "cause"),
    [
        ({}, 1024, None, "budget"),
        ({"completion_tokens": 1023}, 1024, None, "budget"),
        ({"completion_tokens": 3296}, 8192, None, "window"),
        ({"completion_tokens": 324}, 1024, 1024, "window"),
        ({"completion_tokens": None}, 1024, 4096, "budget"),
        ({}, 1024, 131072, "budget"),
        ({}, 1024, 1724, "window"),
    ],
)
def test_the_window_is_told_from_the_budget(told, budget, window, cause):
    graded = outcome_of(cut("", **told), ONE, budget, window=window)
    assert (graded.outcome, graded.cause) == ("truncated", cause)


@pytest.mark.parametrize(
    "content", ["答え: c。", "答え: c\n", "Answer: c.", "**c** です。"]
)
def test_a_statement_that_ended_before_the_cut_is_an_answer(content):
    graded = outcome_of(cut(content + "\n理由は"), ONE, 1024)
    assert (graded.outcome, graded.answer) == ("answered", ("c",))
    assert outcome_of(cut("答え: c。"), ONE, 1024).answer == ("c",)


@pytest.mark.parametrize(
    "content",
    ["正解は c です。理由は咳であり", "<answer>c</answer>", "答え: c（胸部X線）"],
)
def test_so_is_one_in_a_sentence_or_a_box_that_was_closed(content):
    assert outcome_of(cut(content), ONE, 1024).answer == ("c",)


@pytest.mark.parametrize("finish", ["stop", None])
@pytest.mark.parametrize("filled", [2048, 4096, 5120, 8192, 32768])
@pytest.mark.parametrize("content", ["", "<think>答え: b か", "b is likely. But wait"])
def test_a_full_window_is_a_cut_whatever_the_server_says(content, filled, finish):
    used = {"prompt_tokens": 777, "completion_tokens": filled - 777}
    message = {"message": {"content": content}, "finish_reason": finish}
    reply = read_reply({"choices": [message], "usage": used})
    graded = outcome_of(reply, ONE, 65536)
    assert (graded.outcome, graded.cause) == ("truncated", "window")
    known = outcome_of(reply, ONE, 65536, window=2 * filled)
    assert known.outcome != "truncated"


@pytest.mark.parametrize("content", ["答え: c", "c", "答え: c。理由を述べる。"])
def test_a_whole_answer_in_a_full_window_counts(content):
    told = {"prompt_tokens": 777, "completion_tokens": 4096 - 777}
    reply = Reply(content=content, finish_reason="stop", **told)
    assert outcome_of(reply, ONE, 65536).answer == ("c",)


@pytest.mark.parametrize(
    ("finish", "outcome", "cause"),
    [
        *((f, "empty", "tool") for f in ("tool_calls", "FUNCTION_CALL", "tool_use")),
        *((f, "empty", "tool") for f in ("pause_turn", "malformed_function_call")),
        *((f, "refused", None) for f in ("refusal", "REFUSAL")),
    ],
)
def test_what_is_said_before_a_call_or_a_refusal_is_no_answer(finish, outcome, cause):
    message = {
        "message": {"content": "調べます。答え: c だと"},
        "finish_reason": finish,
    }
    graded = outcome_of(read_reply({"choices": [message]}), ONE, 1024)
    assert (graded.outcome, graded.cause, graded.answer) == (outcome, cause, None)


def test_a_tool_call_is_no_answer_and_named():
    call = {"type": "function", "function": {"name": "python", "arguments": "{}"}}
    message = {"content": None, "tool_calls": [call]}
    graded = outcome_of(read_reply({"choices": [{"message": message}]}), ONE, 1024)
    assert (graded.outcome, graded.cause) == ("empty", "tool")


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply(content=""), "output"),
        (Reply(content="症例の話である。"), "output"),
        (Reply(content="申し訳ありませんが、画像を確認できません。"), None),
        (Reply(error="boom"), "api"),
        (Reply(content="c"), None),
    ],
)
def test_every_loss_names_its_cause(reply, cause):
    assert outcome_of(reply, ONE, 1024).cause == cause


@pytest.mark.parametrize("piece", ["a", "ab c ", "答え: c\n", "no loop", "1;2:"])
def test_loops_are_found_in_linear_time(piece):
    assert_linear(is_looping, piece)
