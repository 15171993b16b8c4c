"""Whose words they are: thought, other roles and what follows the end are not read."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from timing import assert_linear

from igaku.exam.questions import Question
from igaku.reading.answer import extract_answer, outcome_of
from igaku.reading.reply import read_reply
from igaku.reading.turns import turn_of

QUESTION = Question.from_record(
    {
        "problem_id": "998A1",
        "problem_text": "まず行うべき検査はどれか。",
        "choices": ["頭部CT", "血液培養", "胸部X線", "心エコー", "尿沈渣"],
        "answer": ["c"],
    }
)
KNOWN = [
    ("<think>", "</think>"),
    ("<Thinking>", "</Thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<scratchpad>", "</scratchpad>"),
    ('<think mode="deep">', "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|think|>", "<|/think|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<｜begin▁of▁thinking｜>", "<｜end▁of▁thinking｜>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
    ("<unused94>thought\n", "<unused95>"),
    ('<details type="reasoning">', "</details>"),
    ("{{thinking}}", "{{/thinking}}"),
    ("«ponder»", "«/ponder»"),
    ("【思考】", "【/思考】"),
    ("```thinking\n", "```\n"),
]
# Spellings that nobody uses: a name that speaks of thought, or of nothing at all.
FORMS = [
    ("<{}>", "</{}>"),
    ("<{} >", "</{} >"),
    ("<|{}|>", "<|/{}|>"),
    ("<|begin_of_{}|>", "<|end_of_{}|>"),
    ("<|start_{}|>", "<|end_{}|>"),
    ("<|{}_start|>", "<|{}_end|>"),
    ("<ns:{}>", "</ns:{}>"),
]
INVENTED = [
    (opening.format(name), closing.format(name))
    for opening, closing in FORMS
    for name in ("deliberation", "zog", "Muse", "inner_voice")
]
ENDS = [
    *("", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "</s>", "[EOS]"),
    *("<|endoftext|>", "<eos>", "<|end|>", "<|return|>", "<｜end▁of▁sentence｜>"),
    *("<|END_OF_TURN_TOKEN|>", "<|eom_id|>", "[|endofturn|]", "<end_of_utterance>"),
    *("<|fin|>", "<|zog_end|>", "<end_of_zog>", "<eor>", "[END]", "<|zzz|>", "</zog>"),
]
NEXT = [
    "",
    "\n<|im_start|>user\n次の問題。答え: b",
    "<|start_header_id|>assistant<|end_header_id|>\n\nb",
    "\n<start_of_turn>user\nb?<end_of_turn>\n<start_of_turn>model\nb",
    "<|start|>user<|message|>では答え: b ですか<|end|>",
    "[INST] b? [/INST] b",
    "\n<|user|>\n答え: b",
    "\nuser\n答え: b",
    "\n### Human: 答え: b ですか",
    "\nユーザー: 答え: b ですか",
    "\n\n問題: 別の症例。\na: 甲\nb: 乙\n答え: b",
    "\nQuestion 2: Which one?\nA. x\nB. y\nAnswer: B",
]
INSIDE = ["まず答え: b と考えた。", "The answer is B.\n\nOr is it?", "b"]
STATED = ["答え: d", "d", "\nAnswer: D", "正解は d です。"]


@pytest.mark.parametrize(("opening", "closing"), [*KNOWN, *INVENTED])
def test_thought_that_states_b_and_an_answer_that_states_d_give_d(opening, closing):
    for thought, answer, end in itertools.product(INSIDE, STATED, ENDS):
        text = f"{opening}{thought}{closing}{answer}{end}"
        turn = turn_of(text)
        assert turn.said.strip() == answer.strip(), text
        assert thought.strip() in turn.thought and turn.is_closed
    assert extract_answer(text, QUESTION) == ("d",)


@pytest.mark.parametrize("thought", INSIDE)
def test_thought_that_never_ends_says_nothing(thought):
    for opening, closing in (*KNOWN, *INVENTED):
        turn = turn_of(opening + thought)
        assert (turn.said, turn.is_closed) == ("", False), opening
        for finish, outcome in (("stop", "empty"), ("length", "truncated")):
            message = {"content": opening + thought}
            body = {"choices": [{"message": message, "finish_reason": finish}]}
            reply = read_reply(body)
            assert outcome_of(reply, QUESTION, 1024).outcome == outcome, opening
            assert thought.strip() in reply.reasoning, opening
        cut = turn_of(f"{opening}{thought}{closing[: len(closing) // 2]}")
        assert cut.said == "", opening


@pytest.mark.parametrize("end", ENDS)
def test_what_follows_the_end_of_the_turn_is_not_the_reply(end):
    for answer, more in itertools.product(["d", "答え: d"], NEXT):
        text = f"{answer}{end}{more}"
        turn = turn_of(text)
        assert turn.said == answer and not turn.marks, text
        assert extract_answer(text, QUESTION) == ("d",), text


@pytest.mark.parametrize(
    "header",
    [
        "<|im_start|>assistant\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<start_of_turn>model\n",
        "<|assistant|>",
        "[/INST] ",
        "<|im_start|>user\nb?<|im_end|>\n<|im_start|>assistant\n",
    ],
)
def test_a_reply_may_begin_with_its_own_header(header):
    assert turn_of(f"{header}答え: d<|im_end|>").said == "答え: d"


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("analysisまず b を疑う。assistantfinal答え: d", "答え: d", "まず b を疑う。"),
        ("まず b を疑う。assistantfinal答え: d", "答え: d", "まず b を疑う。"),
        ("analysisWe weigh b.", "", "We weigh b."),
        (
            'commentary to=functions.find json{"q": "b"}',
            "",
            'to=functions.find json{"q": "b"}',
        ),
        ("<|channel|>final<|message|>d<|return|><|start|>user<|message|>b?", "d", ""),
        ("d<|return|><|start|>user<|message|>b?<|end|>", "d", ""),
        ('<|channel|>commentary to=f<|message|>{"q":"b"}<|call|>', "", '{"q":"b"}'),
    ],
)
def test_harmony_torn_or_in_plain_words(text, said, thought):
    turn = turn_of(text)
    assert (turn.said, turn.thought) == (said, thought)


@pytest.mark.parametrize(
    "text",
    [
        "胸部X線で異常を認めない<br>ため c",
        "収縮期血圧 < 120 mmHg、CD4<200/μL",
        "Na<sup>+</sup> が低い。<b>答え: c</b>",
        "[Na+] 128 mEq/L、[K+] 5.9 mEq/L。答え: c",
        "[図1] を参照。答え: c",
        "答え: <c>",
        "(c) が正しい。(/μL) は単位。",
        "x < y and y > z, so c",
        "Question: どれか。\nAnswer: c",
        "問題: 72歳の女性。\n答え: c",
        "user の希望を確認する。答え: c",
        "I think c. The analysis is finished.",
        "analysis of variance: c",
        "「どんな治療が必要とお考えですか」と尋ねる。c",
        "<table><tr><td>c</td></tr></table>",
        "<script>alert(1)</script> c",
        "<style>p {}</style>\n<p>c</p>",
        "- [ ] a\n- [x] c",
        "答えは c（[CT] で確認する）。",
    ],
)
def test_what_physicians_write_is_left_as_it_is(text):
    turn = turn_of(text)
    assert (turn.said, turn.thought, turn.marks) == (text, "", ())


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("答え: <|reserved_7|> d", ("<|reserved_7|>",)),
        ("<unused12> 答え: d", ("<unused12>",)),
        ("答え [CTRL_3] d", ("[CTRL_3]",)),
    ],
)
def test_what_stays_unknown_is_kept_and_named(text, marks):
    assert turn_of(text).marks == marks


@pytest.mark.parametrize(
    "box", ["<|begin_of_box|>{}<|end_of_box|>", "<answer>{}</answer>"]
)
def test_a_box_around_the_answer_is_part_of_what_is_said(box):
    text = f"<think>b?</think>検査を比べる。{box.format('d')}<|user|>"
    assert extract_answer(text, QUESTION) == ("d",)


def test_thought_in_the_servers_field_and_in_the_text_are_both_kept():
    message = {"content": "<think>and c?</think>d", "reasoning_content": "b or"}
    reply = read_reply({"choices": [{"message": message}]})
    assert reply.content == "d"
    assert "b or" in reply.reasoning and "and c?" in reply.reasoning


def test_thought_that_begins_with_a_quotation_is_thought():
    assert turn_of("<think>> b or c?</think>d").thought == "> b or c?"
    assert turn_of("<think>> b or c?").said == ""


PIECES = [
    *("<", "<|", "|>", "[", "]", "/", ">", "{{", "}}", "◁", "▷", "«", "»", "\n", " "),
    *("think", "zog", "user", "assistant", "final", "analysis", "end", "b", "答え: d"),
    *("<think>", "</think>", "<zog>", "</zog>", "<|im_end|>", "<|im_start|>", "```"),
    *("<|channel|>", "<|message|>", "<unused1>", "Question: ", "問題: ", "a: x\nb: y"),
]
texts = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text()


@settings(max_examples=400, deadline=None)
@given(texts)
@example("analysis>")
def test_what_is_said_is_read_again_as_the_same(text):
    said = turn_of(text).said
    assert turn_of(said).said.strip() == said.strip()
    assert len(said) <= len(text) + 16 * (text.count("|>") + 1)


REPEATED = [
    *("<", "<|", "[", "<b>", "<think>", "</think>", "<zog>", "</zog>", "[THINK]"),
    *("◁think▷", "◁/think▷", "<|im_end|>", "<|x|>", "d<|x|>", "user\n", "((/x))"),
    *("答え: a\n問題: b\n", "Question: a\n", "analysis", "assistantfinal", "#/think#"),
    *("<|channel|>final<|message|>", "⟨/a⟩", "<a b=", "<|start|>user", "```thinking\n"),
    *("<unused1>thought\n", "a\nuser\n", "<x y ", "◁/", "[/A", "\n\n\n"),
    *("&lt;x&gt;", "<x|></x|>", "## Thinking\n", "\n \n", "~~~think\n", "[x]", "\\n"),
    *(
        '{"name": ',
        "Action: x\n",
        "f(a=1 ",
        "答え: d\n\n問題2 ",
        "d\nQ: ",
        "Ġ",
        "<tool>",
    ),
    *(
        "Thinking: \n\n",
        "Analysis\n",
        "assistant final ",
        "[analysis]",
        "\ufffd",
        "<s>",
    ),
]


@pytest.mark.parametrize("piece", REPEATED)
def test_eight_times_the_text_takes_at_most_ten_times_the_time(piece):
    assert_linear(turn_of, piece)
