"""Reading answers: the shapes models write, and letters that are none."""

import json
from pathlib import Path

import pytest
from timing import assert_in_no_time

from igaku.exam.questions import Question
from igaku.reading.answer import (
    Graded,
    extract_answer,
    is_correct,
    outcome_of,
)
from igaku.reading.reply import Reply
from igaku.server.fingerprint import served_as
from igaku.words import OUTCOMES


def question(answer="c", choices=None, text="正しいのはどれか。"):
    plain = ["安静", "輸液", "陣痛開始時の投与", "経過観察", "手術"]
    row = {"problem_id": "116A1", "problem_text": text, "answer": list(answer)}
    return Question.from_record(row | {"choices": choices or plain})


def boxes(drawn, digits):
    text = f"ただし、小数第2位を四捨五入すること。解答：{drawn}"
    row = {"problem_id": "116B50", "problem_text": text, "choices": []}
    return Question.from_record(row | {"answer": [digits]})


ONE = question("c")
TWO = question("ac")
SIX = question("f", ["甲", "乙", "丙", "丁", "戊", "己"])
NAMES = question(
    "a", ["AIDS", "ビタミンC", "C型肝炎", "E. coliによる感染", "Dダイマーの測定"]
)
DECIMAL = boxes("①.②g/日", "21")
WHOLE = boxes("①②③mL", "325")


@pytest.mark.parametrize(
    "text",
    [
        "c",
        " C\n",
        "ｃ",
        "Ｃ。",
        "c.",
        "(c)",
        "（ｃ）",
        "[c]",
        "「c」",
        "**c**",
        "`c`",
        "**(c)**",
        "ⓒ",
        "\u200bc",
        "cです。",
        "cである。",
        "c が正解です。",
        "c: 陣痛開始時の投与",
        "c. 陣痛開始時の投与",
        "c．陣痛開始時の投与",
        "c) 陣痛開始時の投与",
        "c 陣痛開始時の投与",
        "c、陣痛開始時の投与",
        "**c. 陣痛開始時の投与**\n\n理由：添付文書による。",
        "c: trial of labor",
        "c (labour has begun)",
        "- c",
        "51. c",
        "答え：c",
        "答え: **c**",
        "答えはcです。",
        "答えは、c。",
        "答え\nc",
        "**答え**\n\nc",
        "【答】c",
        "（答）c",
        "解答：ｃ",
        "回答: (c)",
        "正解はc",
        "正解は「c」です",
        "正解は選択肢cです。",
        "正解の選択肢はcである。",
        "正解はc（陣痛開始時の投与）です。",
        "正解：c: 陣痛開始時の投与",
        "最終回答：c",
        "正答 c",
        "Answer: C",
        "ANSWER: c",
        "The answer is c.",
        "The answer is (C).",
        "The answer is option C because labour has begun.",
        "The correct answer would be:\n\nc: labour",
        "The correct option is C",
        "Therefore, c.",
        "Option c is the most likely.",
        "c is correct.",
        r"\boxed{c}",
        r"$\boxed{\text{C}}$",
        '{"answer": "c"}',
        "<answer>c</answer>",
        "cが最も適切である。",
        "よって、cが正しい。",
        "最も考えられるのはcです。",
        "最も可能性が高いのは､c: 陣痛です｡",
        "陣痛開始時の投与（c）が考えられます。",
        "画像はないが、推測すると、c: 陣痛開始時の投与が選ばれる。",
        "aではなくcです。",
    ],
)
def test_one_letter(text):
    assert extract_answer(text, ONE) == ("c",)


@pytest.mark.parametrize(
    "text",
    [
        "a,c",
        "a, c",
        "c,a",
        "a,\u202fc",
        "a、c",
        "ａ，ｃ",
        "ａ．ｃ",
        "Ａ、Ｃ",
        "a・c",
        "a/c",
        "a c",
        "a　c",
        "aとc",
        "a と c です。",
        "a 及び c",
        "a and c",
        "a, and c",
        "a & c",
        "ac",
        "ca",
        "AC",
        "(a), (c)",
        "(a)と(c)",
        "「a」と「c」",
        "**a** と **c**",
        "[a, c]",
        "a\nc",
        "- a\n- c",
        "1. a\n2. c",
        "a: 安静\nc: 陣痛開始時の投与",
        "a: 安静\n\nc: 陣痛開始時の投与",
        "a. rest\nc. labour",
        "答え: a,c",
        "答え：ac",
        "答え：ａｃ",
        "答えはaとcです。",
        "答え: a: 安静、c: 陣痛開始時の投与",
        "答え：\na: 休ませる\nc: 薬を与える",
        "答え：\n- a\n- c",
        "答え：\n\na\n\nc",
        "正解は a、c です",
        "正解は次の通り: a, c",
        '{"answer": ["a", "c"]}',
        "The answers are a and c.",
        "適切なのはaとcである。",
        "安静(a)と陣痛開始時の投与(c)を行う。",
    ],
)
def test_two_letters(text):
    assert extract_answer(text, TWO) == ("a", "c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n考え直すと、答え: b", ("b",)),
        ("答え: a\n\nいや、答え: b", ("b",)),
        ("答え: a\n\n最終的に\n\nb", ("b",)),
        ("正解はb。cは誤り。", ("b",)),
        ("正解はb、cは誤り。", ("b",)),
        ("答え: b\n\na: 誤り\nc: 誤り\nd: 誤り\ne: 誤り", ("b",)),
        ("a: 誤り\nb: 正しい\nc: 誤り\nd: 誤り\ne: 誤り\n\n答え: b", ("b",)),
        ("a: 誤り\nb: 正しい\nc: 誤り\nd: 誤り\ne: 誤り\n最も適切なのはb", ("b",)),
        ("b: 輸液\n\na: 誤り\nc: 誤り\nd: 誤り\ne: 誤り", ("b",)),
        ("The user wants a single choice. The correct answer: b (fluids).b", ("b",)),
        ("選択肢のうちbが最も適切で、aは不適切である。", ("b",)),
        ("A is incorrect. B is correct because of the drip.", ("b",)),
        ("bです。dではありません。", ("b",)),
        ("最も適切な選択肢は b です。", ("b",)),
        ("b（理由：輸液が先）", ("b",)),
        ("以上より、bと考えられる。", ("b",)),
        ("a\n\nb", ("b",)),
        ("Answer: b, a common cause of it", ("b",)),
        ("答案：b", ("b",)),
    ],
)
def test_the_statement_that_counts(text, expected):
    assert extract_answer(text, ONE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a or b? 答え: a</think>c", ("c",)),
        ("<think>答え: a</think>\n\n答え: c", ("c",)),
        ("答え: a</think>c", ("c",)),
        ("<think>答え: a", None),
        ("<|channel|>analysis<|message|>答え: a", None),
        ("<|channel|>analysis<|message|>a?<|end|><|start|>assistant", None),
        (
            "<|channel|>analysis<|message|>a?<|end|><|start|>assistant"
            "<|channel|>final<|message|>c<|return|>",
            ("c",),
        ),
        ("<|channel|>final<|message|>c", ("c",)),
        ("<|start|>assistant<|channel|>final <|constrain|>text<|message|>c", ("c",)),
        ("c<|return|>", ("c",)),
        ("c<|end|>", ("c",)),
        ("analysisIs it a? No.assistantfinalc", ("c",)),
    ],
)
def test_leftover_reasoning_is_never_read(text, expected):
    assert extract_answer(text, ONE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\n",
        "?",
        "g",
        "z",
        "f",
        "答え: f",
        "答え: g",
        "3",
        "1,4",
        "AIDS",
        "decreased",
        "Answer: decreased blood flow",
        "a patient with fever",
        "A 45-year-old man was admitted.",
        "The answer is a matter of debate.",
        "Answer: a decrease in volume",
        "I cannot give an answer.",
        "We need to answer a question about e-cigarettes and b-lactams.",
        "ビタミンC",
        "C型肝炎",
        "ビタミンCを投与する。",
        "C型肝炎である。",
        "HbA1cが高い。",
        "E. coli",
        "正解はC型肝炎ウイルスの検査です。",
        "答え: E. coli",
        "Dダイマーの測定",
        "β-Dグルカン",
        "37.5℃の発熱",
        "5℃",
        "胸部エックス線写真(a)と(b)が提示されていない。",
        "写真（a）を参照。",
        "選択肢から正解をa,b,c,d,eで答えてください。",
        "答えはa,b,c,d,eのいずれかである。",
        "答えはaかbのどちらかである。",
        "答え: aまたはb",
        "答えはaではない。",
        "The answer is not a.",
        "a: 誤り\nb: 誤り\nc: 誤り\nd: 誤り\ne: 誤り",
        "安静(a)や輸液(b)が考えられる。",
        "**答え：該当する薬剤はありません。**",
        "陣痛開始時の投与",
        "e.g. rest",
        "A and B are wrong.",
        "BとCは誤り。",
        "A, B, C, D and E are all possible.",
        "vs. a",
    ],
)
def test_no_letter_is_made_up(text):
    assert extract_answer(text, ONE) is None


@pytest.mark.parametrize("choice", NAMES.choices)
def test_letters_of_a_choice_are_not_its_label(choice):
    assert extract_answer(choice, NAMES) is None
    assert extract_answer(f"{choice}です。", NAMES) is None
    assert extract_answer(f"正解は{choice}です。", NAMES) is None


@pytest.mark.parametrize("label", "abcde")
def test_a_label_beside_its_choice_is_read(label):
    choice = NAMES.choices["abcde".index(label)]
    for shape in ("{0}: {1}", "{0}. {1}", "答え：{0}（{1}）", "正解は{0} {1}です。"):
        assert extract_answer(shape.format(label, choice), NAMES) == (label,), shape


def test_six_choices_have_six_labels():
    assert extract_answer("f", SIX) == ("f",)
    assert extract_answer("答え：ｆ", SIX) == ("f",)
    assert extract_answer("f", ONE) is None


def test_too_many_letters_are_still_read():
    assert extract_answer("a, b, c", TWO) == ("a", "b", "c")
    assert extract_answer("abc", ONE) == ("a", "b", "c")
    assert extract_answer("c", TWO) == ("c",)
    assert extract_answer("a\nb\nc", TWO) == ("a", "b", "c")
    assert extract_answer("a, b, c, d, e", TWO) == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    "text",
    [
        "2.1",
        "２.１",
        "２．１",
        "21",
        "２１",
        "2.10",
        "2.1 g/日",
        "2.1\u202fg/日",
        "2.1g/日です。",
        "**2.1 g/日**",
        "約2.1 g/日",
        "①2②1",
        "①2.②1",
        "① 2 ② 1",
        "①：2、②：1",
        "①=2\n②=1",
        "① 2\u2003② 1 g/日",
        "解答：①2.②1g/日",
        "①.②：2.1",
        "解答：2.1 g/日",
        "答え: 2.1",
        "答え（小数第1位まで）：2.1",
        "尿蛋白量：2.1 g/日",
        "2.1\n\n解答するには、82 mg/dL × 2,500 mL を計算する。答え: 2.1",
        "答えは2.1 g/日です。",
        "答え：0.82 g/L × 2.5 L = 2.05 ≒ 2.1 g/日",
        "0.82 × 2.5 = 2.05\n\n小数第2位を四捨五入して、解答:2.1g/日",
        "0.82 × 2.5 = 2.05\n\nよって、1日尿蛋白量は2.1 g/日である。",
        "82 mg/dL × 2,500 mL = 2.05 g\nRounded to one decimal place: 2.1",
        "The answer is 2.1 g/day.",
        "1. 2.1 g/日",
        r"\boxed{2.1}",
        "<think>2.05</think>2.1",
    ],
)
def test_digits_in_the_boxes(text):
    assert extract_answer(text, DECIMAL) == ("21",)
    assert is_correct(extract_answer(text, DECIMAL), DECIMAL)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("2.05", "205"),
        ("解答：①\u202f2.05\u202fg/日\u2003②\u202f2.05\u202fg/日", "205"),
        ("0.21", "021"),
        ("2", "2"),
        ("12.1", "121"),
    ],
)
def test_what_was_not_rounded_as_asked_is_wrong(text, digits):
    assert extract_answer(text, DECIMAL) == (digits,)
    assert not is_correct((digits,), DECIMAL)


@pytest.mark.parametrize("text", ["325", "325 mL", "①3②2③5mL", "325.0 mL", "３２５"])
def test_whole_numbers(text):
    assert is_correct(extract_answer(text, WHOLE), WHOLE)


@pytest.mark.parametrize("text", [".4", "0.4", "04", "0.40", "答え：0.4", "①0②4"])
def test_a_leading_zero_fills_its_box(text):
    question = boxes("①.②", "04")
    assert extract_answer(text, question) == ("04",)


def test_thousands():
    question = boxes("①②③④mL", "1250")
    for text in ("1,250", "1250", "1\u202f250 mL", "答え：1,250 mL"):
        assert extract_answer(text, question) == ("1250",)


@pytest.mark.parametrize(
    "text",
    [
        "必ず数値①②",
        "解答：①.②g/日",
        "小数第2位を四捨五入する。",
        "**計算**\n\n- 体重：3.2 kg\n- 合計：20 mL × 8 = **1",
        "表1がないため計算できません。",
        "-2.1",
        "約",
        "解答するには、82 mg/dL × 2,500 mL を計算する",
    ],
)
def test_no_number_is_made_up(text):
    assert extract_answer(text, DECIMAL) is None


def test_gold_with_a_dot_and_gold_with_a_choice_of_answers():
    assert is_correct(("12",), boxes("①.②", "1.2"))
    either = Question.from_record(
        {
            "problem_id": "112B30",
            "problem_text": "どれか。",
            "choices": ["甲", "乙", "丙", "丁", "戊"],
            "answer": ["a or d"],
        }
    )
    assert is_correct(("a",), either)
    assert is_correct(("d",), either)
    assert not is_correct(("a", "d"), either)
    assert not is_correct(None, either)
    assert not is_correct((), either)


def test_the_order_of_letters_does_not_count():
    assert is_correct(("c", "a"), TWO)


WALKS = [
    "a: ×、b: ×、c: ○、d: ×、e: ×",
    "a は誤り。c は正しい。",
    "a：誤り b：誤り c：正しい",
    "(a) no (c) yes",
    "a は誤り\nc は正しい",
    "a: 安静は誤り\nc: 投与は正しい",
    "a. incorrect\nb. incorrect\nc. correct",
    "a is wrong\nc is right",
]
RETRACTED = [
    "答え：a → 訂正：c",
    "答え：a\n…再考すると、正解はbではなくcです",
    "答え：a\n正解はbでなくcです",
]
SAID_IN_PASSING = [
    *("I'd go with C", "I would choose option (c) because it fits", "It's c"),
    *("Final: c", "Ans: C", "解：c", "〔c〕", "＜c＞", "<c>"),
    *("c. no treatment", "c: 誤嚥性肺炎"),
]


@pytest.mark.parametrize("text", [*WALKS, *RETRACTED, *SAID_IN_PASSING])
def test_what_is_rejected_is_not_stated(text):
    assert extract_answer(text, ONE) == ("c",)


def test_a_letter_of_a_spaced_word_is_none():
    assert extract_answer("答えは A 型インフルエンザ", ONE) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cは誤り", ("c",)),
        ("a: 正しい\nc: 誤り", None),
        ("a: ○\nb: ○\nc: ×", None),
        ("答え: c（誤り）", ("c",)),
        ("cが正解です。", ("c",)),
    ],
)
def test_where_the_wrong_one_is_asked_for_a_half_walk_says_nothing(text, expected):
    inverse = question("c", text="誤っているのはどれか。")
    assert extract_answer(text, inverse) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("a+c", "a＋c", "(a)(c)", "「a」「c」", "【a】【c】", "a、cの二つです"),
        *("a、cの2つ", "aとcの２つ", "<b>a</b> and <b>c</b>"),
    ],
)
def test_two_letters_set_side_by_side(text):
    assert extract_answer(text, TWO) == ("a", "c")


@pytest.mark.parametrize(
    "text",
    [
        "2.1\n\n計算過程: 尿量1.5L",
        "2.1 (=35*60/1000)",
        "2.1g/日です。40mg/dLは0.4g/L。",
        "1日尿蛋白量は 2.1 g/日 です。",
        "0.04×52.5＝2.1",
    ],
)
def test_a_number_with_company(text):
    assert extract_answer(text, DECIMAL) == ("21",)


@pytest.mark.parametrize(
    "text", ["回答: 2,1", "82 mg/dL\n× 25 dL", "2.5 L × 0.82", "0.82 × 2.5 = 2.05 と"]
)
def test_no_number_of_a_calculation(text):
    assert extract_answer(text, DECIMAL) is None


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "a",
            "a ",
            "a、",
            "(a)",
            "a:",
            "aは",
            "答え",
            "答え:",
            "正解は",
            "2",
            "2.",
            "2,",
        ),
        *("= 2", "<b>", "<", "\n", "a\n", "a: 誤り", "not a ", "aではなく", "×", "a+"),
        *(" and a", "1=", "は2", "c: ○、", "約2", " "),
    ],
)
@pytest.mark.parametrize("asked", [ONE, TWO, DECIMAL], ids=["one", "two", "number"])
def test_hostile_replies_are_read_in_no_time(piece, asked):
    hostile = "答え: " + piece * (10_000 // len(piece)) + "x"
    plain = "選択肢を順に検討する。aは発熱を説明するが、cの所見とは合わない。"
    assert_in_no_time(lambda text: extract_answer(text, asked), hostile, plain)


def test_the_case_of_letters_does_not_count():
    assert is_correct(("C",), ONE)
    assert is_correct(("C", "a"), TWO)


# --- outcomes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(content="c"), "answered"),
        (Reply(content="a"), "answered"),
        (Reply(content="a, c"), "wrong_cardinality"),
        (Reply(content="分娩の話である。"), "unparsable"),
        (Reply(content="**答え：該当する薬剤はありません。**"), "unparsable"),
        (Reply(content="申し訳ありませんが、画像を確認できません。"), "refused"),
        (Reply(content="画像が提示されていないため、判断できません。"), "refused"),
        (Reply(content="図がないため正確な解答を提供できません。"), "refused"),
        (Reply(content="患者の情報が不足しています。"), "refused"),
        (Reply(content="Sorry, I cannot see the image."), "refused"),
        (Reply(content="The image was not provided."), "refused"),
        (Reply(content="画像はありませんが、答え: c"), "answered"),
        (Reply(content="c: sorry, the figure is not shown"), "answered"),
        (Reply(content=""), "empty"),
        (Reply(content=" \n"), "empty"),
        (Reply(content="", reasoning="hm", finish_reason="stop"), "empty"),
        (Reply(content="", completion_tokens=500, finish_reason="stop"), "empty"),
        (Reply(content="", finish_reason="length"), "truncated"),
        (Reply(content="", completion_tokens=1024), "truncated"),
        (Reply(content="", completion_tokens=1023), "truncated"),
        (Reply(content="", completion_tokens=1022), "empty"),
        (Reply(content="症例を検討する。", finish_reason="length"), "truncated"),
        (Reply(content="申し訳ありませんが", finish_reason="length"), "truncated"),
        (Reply(content="答え: c\n\n理由は", finish_reason="length"), "answered"),
        (Reply(content="c\n\n理由は", finish_reason="length"), "answered"),
        (Reply(content="a: 安静は", finish_reason="length"), "truncated"),
        (Reply(content="答え: a, c", finish_reason="length"), "truncated"),
        (Reply(content="c", completion_tokens=1023), "answered"),
        (Reply(content="", error="boom"), "api_error"),
        (Reply(content="c", error="boom"), "api_error"),
        (Reply(content="c", served_model="other/model"), "wrong_model"),
        (Reply(content="c", served_model="lab/model:2"), "answered"),
        (Reply(content="c", served_model="other/model", error="boom"), "api_error"),
    ],
)
def test_outcome(reply, outcome):
    is_asked = served_as("lab/model", reply.served_model)
    graded = outcome_of(reply, ONE, max_tokens=1024, is_asked=is_asked)
    assert graded.outcome == outcome
    assert outcome in OUTCOMES
    assert graded.correct == (outcome == "answered" and "c" in reply.content)


def test_half_a_list_that_the_budget_cut_is_no_answer():
    cut = Reply(content="答え: a,", finish_reason="length")
    assert outcome_of(cut, TWO).outcome == "truncated"
    whole = Reply(content="答え: a, c", finish_reason="length")
    assert outcome_of(whole, TWO) == Graded("answered", ("a", "c"), True)


def test_half_a_number_that_the_budget_cut_is_no_answer():
    cut = Reply(content="答え: 2.", finish_reason="length")
    assert outcome_of(cut, DECIMAL).outcome == "truncated"
    assert outcome_of(
        Reply(content="答え: 2.1", finish_reason="length"), DECIMAL
    ).correct


def test_an_unrounded_number_is_answered_and_wrong():
    assert outcome_of(Reply(content="2.05"), DECIMAL) == Graded("answered", ("205",))


# --- recorded replies -------------------------------------------------------------

# Files, replies, correct, blank and API errors of each recorded run. The fifth run was
# recorded with 7 correct: its reader took "a", "d" and "e" out of "wants a single
# choice. The correct answer: d (sulfonylureas).d" (116A4), which says d, the gold.
RECORDED = {
    "gpt-oss-20b-gguf": (400, 286, 0, 0),
    "gpt-oss-20b-openai-mxfp4-gguf": (400, 284, 0, 0),
    "gpt-oss-20b-mlx-community": (400, 284, 0, 0),
    "gpt-oss-20b-mlx-q4": (125, 17, 87, 5),
    "gpt-oss-20b-inferenceill": (75, 8, 58, 0),
    "gpt-oss-20b-safeguard": (75, 27, 39, 6),
    "prompt_comparison_gpt-oss-safeguard-20b-mlx-mt4096": (400, 262, 30, 1),
}


@pytest.fixture(scope="module")
def exam(shared: Path) -> dict[str, Question]:
    folder = shared / "data" / "igakuqa" / "2022"
    lines = [
        json.loads(line)
        for path in sorted(folder.glob("116-?.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {row["problem_id"]: Question.from_record(row) for row in lines}


def recorded(shared: Path, stem: str) -> list[dict]:
    paths = sorted((shared / "data" / "recorded").glob(f"{stem}_2022_?.json"))
    bodies = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    return [row for body in bodies for row in body["details"]["baseline"]]


def graded(row: dict, exam: dict[str, Question]) -> Graded:
    reply = Reply(content=row.get("response") or "", error=row.get("error"))
    return outcome_of(reply, exam[row["problem_id"]])


@pytest.mark.parametrize("stem", RECORDED)
def test_recorded_totals(stem, shared, exam):
    results = [graded(row, exam) for row in recorded(shared, stem)]
    blank = sum(result.outcome == "empty" for result in results)
    errors = sum(result.outcome == "api_error" for result in results)
    correct = sum(result.correct for result in results)
    assert (len(results), correct, blank, errors) == RECORDED[stem]


@pytest.mark.parametrize("stem", RECORDED)
def test_recorded_predictions_are_read_alike(stem, shared, exam):
    for row in recorded(shared, stem):
        result = graded(row, exam)
        letters = set(row["prediction"].split(","))
        if letters <= set("abcdef") and row["problem_id"] != "116A4":
            assert set(result.answer) == letters, row
        else:
            assert not result.correct or row["problem_id"] == "116A4", row


def test_refusals_of_the_recorded_runs(shared, exam):
    refused = {
        stem: [
            row["problem_id"]
            for row in recorded(shared, stem)
            if graded(row, exam).outcome == "refused"
        ]
        for stem in RECORDED
    }
    blind = ["116A45", "116C4", "116C19", "116E12"]
    assert refused["gpt-oss-20b-gguf"] == blind
    assert refused["gpt-oss-20b-mlx-community"] == [*blind, "116F72"]
    assert refused["gpt-oss-20b-safeguard"] == ["116A45"]


def test_other_systems_are_readable(shared, exam):
    folder = shared / "data" / "igakuqa" / "baseline_results" / "2022"
    outcomes: dict[str, Graded] = {}
    for path in sorted(folder.glob("116-?_gpt4.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            reply = Reply(content=row["prediction"])
            outcomes[row["problem_id"]] = outcome_of(reply, exam[row["problem_id"]])
    counts = [graded.outcome for graded in outcomes.values()]
    assert counts.count("answered") == 379
    assert counts.count("refused") == 21
    assert sum(graded.correct for graded in outcomes.values()) == 319
    assert outcomes["116B50"].answer == ("21",)
    assert outcomes["116F74"].answer == ("04",)
    assert outcomes["116A60"].answer == ("d",)
    assert outcomes["116E38"].answer == ("c",)
