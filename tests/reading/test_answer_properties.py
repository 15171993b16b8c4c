"""What must hold for any text and any body, whatever a model or a server sends."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igaku.exam.questions import Question
from igaku.reading.answer import extract_answer, is_correct, outcome_of
from igaku.reading.reply import Reply, read_reply
from igaku.reading.turns import turn_of
from igaku.words import OUTCOMES

LABELS = "abcdef"
CHOICES = ["AIDS", "ビタミンC", "C型肝炎", "陣痛開始時", "E. coliの感染", "decreased"]


def choice_question(labels=5, wanted=1):
    row = {
        "problem_id": "116A1",
        "problem_text": "どれか。",
        "choices": CHOICES[:labels],
    }
    return Question.from_record(row | {"answer": list(LABELS[:wanted])})


def box_question(drawn="①.②", gold="21"):
    row = {"problem_id": "116B50", "problem_text": f"解答：{drawn}g", "choices": []}
    return Question.from_record(row | {"answer": [gold]})


questions = st.one_of(
    st.builds(choice_question, st.integers(2, 6), st.integers(1, 2)),
    st.builds(box_question, st.sampled_from(["①.②", "①②③", "①", "なし"])),
)

# Random text seldom looks like a reply, so it is mixed from pieces of replies.
PIECES = [
    *"abcdefgABCｃＣ12.,、。:：()（）「」*`$\n\t \u202f①②",
    *("答え", "正解は", "のは", "です", "と", "または", "Answer: ", " is ", "correct"),
    *("<think>", "</think>", "<|channel|>", "<|message|>", "<|start|>assistant"),
    *("final", "analysis", "<|end|>", "<|return|>", "\\boxed{", "}", "2.1", "1,250"),
    *(
        "AIDS",
        "patient",
        "ビタミンC",
        "C型肝炎",
        "画像",
        "できません",
        "\ue000",
        "\ud83d",
    ),
]
texts = st.one_of(
    st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
)


@settings(max_examples=600, deadline=None)
@given(texts, questions)
def test_any_text_gives_an_answer_in_range_or_none(text, question):
    answer = extract_answer(text, question)
    if answer is None:
        return
    if question.kind == "numeric":
        assert len(answer) == 1
        assert answer[0].isascii()
        assert answer[0].isdigit()
    else:
        assert set(answer) <= set(question.labels)
        assert list(answer) == sorted(set(answer))
        assert answer


@settings(max_examples=300, deadline=None)
@given(texts, questions, st.sampled_from([None, "stop", "length"]), st.integers(0, 9))
def test_any_reply_has_one_outcome(text, question, finish, tokens):
    reply = Reply(content=text, finish_reason=finish, completion_tokens=tokens)
    graded = outcome_of(reply, question, max_tokens=8)
    assert graded.outcome in OUTCOMES
    assert graded.outcome != "not_run"
    assert (graded.answer is not None) == (
        graded.outcome in ("answered", "wrong_cardinality")
    )
    assert graded.correct is (
        graded.outcome == "answered" and is_correct(graded.answer, question)
    )


FULL_WIDTH = str.maketrans("abcdefABCDEF,", "ａｂｃｄｅｆＡＢＣＤＥＦ，")
LISTS = [
    ",",
    ", ",
    "、",
    "，",
    "・",
    "/",
    " ",
    "と",
    " と ",
    " and ",
    "及び",
    ",\u202f",
    "",
]
AROUND = [
    "{}",
    " {}\n",
    "{}。",
    "{}です。",
    "**{}**",
    "({})",
    "「{}」",
    "答え：{}",
    "答え: **{}**",
    "**答え**\n\n{}",
    "解答は{}です。",
    "正解は「{}」である。",
    "Answer: {}",
    "The answer is ({}).",
    "{}が正解です。",
    "理由を述べる。\n\n答え：{}\n",
    "<think>答え：f</think>{}",
    "<|channel|>analysis<|message|>a<|end|><|start|>assistant"
    "<|channel|>final<|message|>{}<|return|>",
    r"\boxed{{{}}}",
]


@settings(max_examples=500, deadline=None)
@given(
    st.sets(st.sampled_from(LABELS[:5]), min_size=1, max_size=3),
    st.sampled_from(LISTS),
    st.sampled_from(AROUND),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_every_listed_shape_is_read_back(chosen, comma, around, upper, wide, data):
    letters = data.draw(st.permutations(sorted(chosen)))
    said = comma.join(letter.upper() if upper else letter for letter in letters)
    said = said.translate(FULL_WIDTH) if wide else said
    question = choice_question(wanted=len(chosen))
    assert extract_answer(around.format(said), question) == tuple(sorted(chosen))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(LABELS[:5]), st.sampled_from([": ", ". ", "．", ") ", " ", "："])
)
def test_a_label_before_its_choice_is_read_back(label, delimiter):
    choice = CHOICES[LABELS.index(label)]
    assert extract_answer(label + delimiter + choice, choice_question()) == (label,)


SHAPES = [
    "{whole}.{part}",
    "{whole}.{part} g/日",
    "{whole}.{part}\u202fg/日",
    "{whole}.{part}0",
    "{whole}{part}",
    "①{whole}②{part}",
    "①{whole}.②{part}g",
    "① {whole}\n② {part}",
    "①：{whole}、②：{part}",
    "解答：{whole}.{part} g/日",
    "答えは{whole}.{part}です。",
    "**{whole}.{part} g**",
    "計算すると {whole}.{part}4 g\n\n四捨五入して、解答：{whole}.{part} g",
]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from(SHAPES), st.booleans())
def test_every_listed_number_is_read_back(whole, part, shape, wide):
    said = shape.format(whole=whole, part=part)
    if wide:
        said = said.translate(str.maketrans("0123456789.", "０１２３４５６７８９．"))
    question = box_question(gold=f"{whole}{part}")
    assert extract_answer(said, question) == (f"{whole}{part}",)
    assert is_correct(extract_answer(said, question), question)


WORDS = (
    "choices message content reasoning reasoning_content reasoning_details text type "
    "thinking output usage stats error prompt_tokens completion_tokens model status "
    "completion_tokens_details reasoning_tokens finish_reason stop_reason timings "
    "tokens_per_second predicted_n predicted_per_second eval_count eval_duration "
    "done_reason incomplete_details reason detail"
)
words = st.sampled_from(WORDS.split())
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.sampled_from(["length", "stop", "reasoning", "message", "failed"]),
)
bodies = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(words, st.text(max_size=3)), inner, max_size=6),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(bodies, st.sampled_from([200, 400, 404, 500]))
def test_any_body_is_a_reply(body, status):
    reply = read_reply(body, status)
    assert_sound(reply)
    assert reply.error is not None or status == 200


@settings(max_examples=60, deadline=None)
@given(bodies, bodies, bodies)
def test_any_chat_completion_is_a_reply(message, usage, choice_extra):
    choice = {"message": message, "finish_reason": choice_extra}
    assert_sound(read_reply({"choices": [choice], "usage": usage, "stats": usage}))
    assert_sound(read_reply({"output": message, "stats": usage}))


@given(st.one_of(st.text(), st.binary()))
def test_any_text_is_a_reply(body):
    assert_sound(read_reply(body))


def assert_sound(reply):
    for text in (reply.content, reply.reasoning):
        assert isinstance(text, str)
        text.encode()
    for text in (reply.error, reply.served_model, reply.finish_reason):
        assert text is None or (isinstance(text, str) and text)
    counts = (reply.prompt_tokens, reply.completion_tokens, reply.reasoning_tokens)
    for count in counts:
        assert count is None or (isinstance(count, int) and count >= 0)
    assert reply.prompt_tokens != 0
    assert not (reply.completion_tokens == 0 and (reply.content or reply.reasoning))
    assert reply.tokens_per_second is None or reply.tokens_per_second > 0


@settings(max_examples=300, deadline=None)
@given(texts)
def test_splitting_twice_changes_nothing(text):
    final = turn_of(text).said
    again = turn_of(final).said
    assert again.strip() == final.strip()


@pytest.mark.parametrize("depth", [10, 900])
def test_a_deep_body_is_a_reply(depth):
    body = json.loads('{"error":' * depth + "1" + "}" * depth)
    assert read_reply(body).error
    nested = {
        "choices": [{"message": {"content": json.loads("[" * depth + "]" * depth)}}]
    }
    assert read_reply(nested).content == ""
