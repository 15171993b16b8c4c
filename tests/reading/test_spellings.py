"""Spellings nobody has used yet: whose words they are is told by form, not by names."""

import itertools

import pytest

from igaku.exam.questions import Question
from igaku.reading.answer import extract_answer, outcome_of
from igaku.reading.reply import read_reply
from igaku.reading.turns import turn_of

QUESTION = Question.from_record(
    {
        "problem_id": "998A1",
        "problem_text": "まず行うべき検査はどれか。",
        "choices": ["頭部CT", "血液培養", "胸部X線", "心エコー", "尿沈渣"],
        "answer": ["d"],
    }
)
STATED = ["d", "答え: d", "**d**", "最も適切なのは d である。", "Answer: D"]
MUSED = [
    "まず答え: b と考えたが弱い。",
    "Okay, so the answer is b? Let me check again.",
    "b or\n\nc?",
]


def answered(text):
    return extract_answer(text, QUESTION)


# --- another's turn -------------------------------------------------------------------

ASKING = ["Question", "Exercise", "Problem", "Instruction", "Q", "問題", "質問", "問"]
ASKING += ["設問", "指示", "题目", "문제"]
FRAMES = [
    "{}:\n",
    "### {}:\n",
    "## {} 2\n",
    "**{} 3:** ",
    "【{}】\n",
    "【{}2】",
    "[{}]: ",
]
FRAMES += ["{}2 ", "{} 2: ", "{}2. ", "{}：", "---\n{}: ", "> {} 4: "]
FRAMES += ["■{}2\n", "=== {} ===\n", "◆次の{}\n"]
POSED = ["次はどれか。\n答え: b", "Which?\n\nAnswer: b", "どれか。\n### 応答:\nb"]
POSED += ["次は。\na 甲\nb 乙\n【答え】b"]


@pytest.mark.parametrize("word", ASKING)
def test_a_question_below_an_answer_is_nobodys(word):
    for frame, stated, posed in itertools.product(FRAMES, STATED, POSED):
        text = f"{stated}\n\n{frame.format(word)}{posed}"
        assert turn_of(text).said.strip("- \n") == stated, text
        assert answered(text) == ("d",), text


@pytest.mark.parametrize(
    "line", ["第2問\n", "第３問 ", "次の問題\n", "Next question\n"]
)
def test_so_is_one_that_only_a_number_or_its_place_tells(line):
    for stated, posed in itertools.product(STATED, POSED):
        assert turn_of(f"{stated}\n\n{line}{posed}").said.strip() == stated


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("word", ["Question", "問題", "質問"])
def test_the_task_said_again_above_the_answer_is_kept(frame, word):
    text = f"{frame.format(word)}どれか。\n答え: d"
    assert turn_of(text).said.endswith("答え: d") and answered(text) == ("d",)


@pytest.mark.parametrize(
    "more",
    [
        "\n\n問題文から心電図が必要。b は誤り。",
        "\n\n質問があればどうぞ。",
        "\n\n問題の要点: 心電図が先。",
        "\n\n### 解説\n検査を比べる。\n### 参考\nなし",
        "\n\nQuestions about b are common.",
        "\n\nUsers of aspirin bleed.",
    ],
)
def test_words_of_questions_in_an_explanation_are_the_models_own(more):
    assert turn_of(f"答え: d{more}").said == f"答え: d{more}"


@pytest.mark.parametrize(
    "person", ["Human", "User", "人間", "ユーザー", "用户", "利用者"]
)
@pytest.mark.parametrize(
    "frame",
    ["\n{}: ", "\n### {}:\n", "\n\n**{}:** ", "\n{}：", "\n## {}\n", "\n=== {} ===\n"],
)
def test_a_line_that_names_another_is_anothers(person, frame):
    text = f"答え: d{frame.format(person)}では 答え: b ですか"
    assert turn_of(text).said == "答え: d"


def test_a_role_may_stand_against_the_letter():
    assert turn_of("duser\n次の問題\n答え: b").said == "d"


# --- headers --------------------------------------------------------------------------

HEADERS = ["<role>{}</role>", "<|im_{0}|>{0}<|im_middle|>", "<|{}_TOKEN|>"]
HEADERS += [
    "<|START_OF_TURN_TOKEN|><|{}_TOKEN|>",
    "[unused10]\n[unused9]{}:",
    "<|{}|>\n",
]
HEADERS += [
    "<|zog|>{}\n",
    "<|role_start|>{}<|role_end|>",
    "<turn_of>{}\n",
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_of_two_marks_is_a_header(header):
    for stated, role in itertools.product(STATED, ("user", "HUMAN", "system")):
        text = f"{stated}{header.format(role)}次。答え: b"
        assert turn_of(text).said == stated, text
    own = turn_of(f"{header.format('assistant')}答え: d<|role_end|>")
    assert own.said == "答え: d"


@pytest.mark.parametrize("begin", ["<|im_start|>", "<|zog|>", "<|begin|>", "<turn>"])
def test_a_role_may_be_to_think(begin):
    for mused, end in itertools.product(MUSED, ("<|im_end|>\n", "<|end|>", "\n")):
        text = f"{begin}think\n{mused}{end}{begin}answer\nd"
        if begin == "<turn>":
            text = text.replace("answer\n", "assistant\n")
        turn = turn_of(text)
        assert (turn.said, turn.thought) == ("d", mused), text
        assert turn_of(f"{begin}think\n{mused}").said == ""


@pytest.mark.parametrize(
    ("channel", "message"), [("<|chan|>", "<|msg|>"), ("[|k|]", "<zag>")]
)
def test_channels_of_any_name(channel, message):
    for mused in MUSED:
        text = f"{channel}analysis{message}{mused}{channel}final{message}d"
        assert turn_of(text).said == "d" and mused in turn_of(text).thought


def test_thought_ends_with_its_turn():
    for mused in MUSED:
        text = f"<think>{mused}<|im_end|>\n<|im_start|>assistant\nd"
        assert (turn_of(text).said, turn_of(text).thought) == ("d", mused)
        text = f"<|think|>{mused}<|end|><|begin|>assistant<|content|>d"
        assert turn_of(text).said == "d"


# --- what stands around an answer -----------------------------------------------------

LEADS = [
    "<bos>",
    "<s>",
    "<|begin_of_text|>",
    "<unk>",
    "[BOS]",
    "[gMASK]<sop>",
]
LEADS += ["<|startoftext|>", "<pad><pad>", "<BOS_TOKEN>", "<reserved_107>"]
TAILS = ["", "</s>", "<eos>", "[EOS]", "<|zorp|>", "<unk>", "<end_of", "<EOS_TOKEN>"]


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("tail", TAILS)
def test_a_mark_in_front_makes_no_answer_thought(lead, tail):
    for stated in STATED:
        turn = turn_of(f"{lead}{stated}{tail}")
        assert turn.said == stated and not turn.thought
        assert answered(f"{lead}{stated}{tail}") == ("d",)


def test_a_mark_that_only_holds_a_place_is_named():
    assert turn_of("<reserved_107>d").marks == ("<reserved_107>",)
    assert turn_of("<bos>d").marks == ()


@pytest.mark.parametrize("name", ["text", "zorp", "message", "correct", "START_TEXT"])
def test_a_pair_around_the_whole_reply_is_no_thought(name):
    assert turn_of(f"<{name}>答え: d</{name}>").said == "答え: d"
    assert turn_of(f"<|{name}|>d<|/{name}|><|im_end|>").said == "d"


@pytest.mark.parametrize("close", ["</think>", "[/THINK]", "</zog>"])
def test_a_stray_close_behind_the_answer_swallows_nothing(close):
    opening = close.replace("/", "")
    for mused, stated in itertools.product(MUSED, STATED):
        text = f"{opening}{mused}{close}{stated}{close}"
        assert turn_of(text).said == stated


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ġd", "d"),
        ("▁答え:▁d", "答え: d"),
        ("ĠThe Ġanswer Ġis Ġd", "The answer is d"),
        ("dĊĊ", "d"),
        ("<0x0A>d<0x0A>", "d"),
        ("<0xE7><0xAD><0x94>え: d", "答え: d"),
        ("答え: d\\n\\n", "答え: d"),
        ("d\ufffd\ufffd", "d"),
        ("d\ud83d", "d"),
        ("Assistant: d", "d"),
        ("**アシスタント:** 答え: d", "答え: d"),
        ("AI: d", "d"),
        ("AIアシスタント: d", "d"),
        ("Model response: d", "d"),
        ("【アシスタント】d", "d"),
        ("Q: どれか。 A: d", "d"),
        ("Human: どれか\nAssistant: d", "d"),
    ],
)
def test_pads_and_labels_are_no_words_of_the_reply(text, said):
    assert turn_of(text).said == said and answered(text) == ("d",)


def test_latex_and_code_keep_their_backslashes():
    for text in (
        "$\\nu = 2$ なので d",
        "\\neq d",
        '{"answer": "d", "why": "x\\n理由"}',
    ):
        assert turn_of(text).said == text


# --- thought without marks of its own -------------------------------------------------

ESCAPES = [("&lt;{}&gt;", "&lt;/{}&gt;"), ("&#60;{}&#62;", "&#60;/{}&#62;")]
ESCAPES += [("\\<{}\\>", "\\</{}\\>"), ("< {} >", "< / {} >"), ("<{}>", "<\\/{}>")]
ESCAPES += [
    ("<{}|>", "</{}|>"),
    ("[{}]", "[/{}]"),
    ("\\u003c{}\\u003e", "\\u003c/{}\\u003e"),
]
WORDS = ["think", "Thinking", "reasoning", "THOUGHT", "deliberation", "思考"]


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("word", WORDS)
def test_thought_in_any_spelling_of_its_marks(escape, word):
    opening, closing = (each.format(word) for each in escape)
    for mused, stated in itertools.product(MUSED, STATED):
        turn = turn_of(f"{opening}{mused}{closing}{stated}")
        assert (turn.said, turn.thought) == (stated, mused)
    if escape != ESCAPES[5]:  # of a half mark only the other half tells
        assert turn_of(f"{opening}{mused}").said == ""


HEADS = [
    "## {}\n\n",
    "# {}\n",
    "**{}**\n",
    "**{}:** ",
    "【{}】\n",
    "【{}】",
    "{}: ",
    "{}:\n",
]
HEADS += ["{}\n", "{}：", "Here is my {}:\n", "Here's my {}:\n"]
SHUT = [
    "\n\n## Final Response\n\n",
    "\n# Answer\n",
    "\n**Answer**\n",
    "\nFinal Answer: ",
]
SHUT += [
    "\n【回答】",
    "\n【最終回答】\n",
    "\n\nHere is my response:\n",
    "\n### 最終回答\n",
    "\n答え: ",
]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "word", ["Thinking", "thought process", "思考", "思考過程", "Thought"]
)
def test_thought_under_a_heading(head, word):
    for mused, shut in itertools.product(MUSED, SHUT):
        text = f"{head.format(word)}{mused}{shut}d"
        turn = turn_of(text)
        assert turn.thought == mused and "b" not in turn.said.lower(), text
        assert answered(text) == ("d",), text
    assert turn_of(f"{head.format(word)}{mused}").said == ""


def test_what_a_reader_of_thought_prints_around_it():
    text = "Thinking...\nまず b か。\n...done thinking.\n\nd"
    assert (turn_of(text).said, turn_of(text).thought) == ("d", "まず b か。")
    assert turn_of("Thinking...\nまず b か。").said == ""
    fold = "<details>\n<summary>Thought for 3 seconds</summary>\n答え: b\n</details>\nd"
    assert turn_of(fold).said == "d"
    assert turn_of("<!-- thinking: 答え: b か -->\nd").said == "d"


@pytest.mark.parametrize(
    "text",
    [
        "Thinking about it, d is the best.",
        "I think the answer is: d",
        "Analysis: comparing a and b.\nd is best. 答え: d",
        "Reasoning: ECG first. Answer: d",
        "考察: 心電図が先。\n答え: d",
        "Thoughtful care matters. 答え: d",
    ],
)
def test_an_explanation_is_what_was_said(text):
    assert turn_of(text).said == text and answered(text) == ("d",)


HARMONIES = [
    "analysis {} assistant final d",
    "analysis: {}\nfinal: d",
    "**analysis**{}**final**d",
]
HARMONIES += [
    "Analysis\n{}\n\nFinal\nd",
    "[analysis]{}[final]d",
    "analysis\n{}\nfinal\nd",
]
HARMONIES += [
    "analysis{}assistantfinal d assistantfinal",
    "analysis\n{}\nassistant final\nd",
]
HARMONIES += ["analysis\n{}\nfinald"]


@pytest.mark.parametrize("words", HARMONIES)
def test_harmony_decoded_with_blanks_or_looks(words):
    for mused in MUSED:
        turn = turn_of(words.format(mused))
        assert turn.said == "d" and turn.thought.strip(" *") == mused
    assert turn_of("finald").said == "d"


# --- calls ----------------------------------------------------------------------------

CALLS = [
    '[TOOL_CALLS][{"name": "find", "arguments": {"answer": "b"}}]',
    '[TOOL_CALLS]find[ARGS]{"answer": "b"}',
    '{"name": "find", "arguments": {"answer": "b"}}',
    '{"name": "find", "parameters": {"answer": "b"}}',
    '{"tool": "find", "input": {"answer": "b"}}',
    '[{"name": "find", "arguments": {"answer": "b"}}]',
    'functools[{"name": "find", "arguments": {"answer": "b"}}]',
    '<function=find>{"answer": "b"}</function>',
    '<tool_call>{"name": "find", "arguments": {"answer": "b"}}</tool_call>',
    '<|python_tag|>{"name": "find", "parameters": {"answer": "b"}}',
    'Action: find\nAction Input: {"answer": "b"}',
    '{"action": "find", "action_input": {"answer": "b"}}',
    '[find(answer="b")]',
    'to=functions.find {"answer": "b"}',
    "Action: find[b]\nObservation: 答え: b",
    "```tool_code\nfind('答え: b')\n```",
    "<zog:tool_call>find(answer='b')</zog:tool_call>",
]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_no_answer(call):
    reply = read_reply({"choices": [{"message": {"content": call}}]})
    graded = outcome_of(reply, QUESTION, 1024)
    assert (reply.content, reply.tool) == ("", "find")
    assert (graded.outcome, graded.answer, graded.cause) == ("empty", None, "tool")


@pytest.mark.parametrize(
    "header",
    [
        "<|start|>assistant to=functions.find<|channel|>commentary json<|message|>",
        "<|channel|>commentary to=functions.find <|constrain|>json<|message|>",
        "commentary to=functions.find json",
    ],
)
def test_harmonys_calls_are_named(header):
    for before in ("", "<|channel|>analysis<|message|>答え: b か<|end|>"):
        if "<|" in header or not before:
            turn = turn_of(f'{before}{header}{{"answer": "b"}}')
            assert (turn.said, turn.tool) == ("", "find")


def test_what_is_said_beside_a_call_is_read():
    call = '<tool_call>{"name": "find", "arguments": {"answer": "b"}}</tool_call>'
    assert answered(f"{call}\n答え: d") == ("d",)
    assert answered("<tool_response>\n答え: b\n</tool_response>") is None
    assert answered('{"answer": "d", "name": "心エコー"}') == ("d",)
