"""The digits of a number: in boxes, after cues, at the end of sums, taken back, cut."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timing import assert_linear

from igaku.exam.questions import Question
from igaku.reading.answer import extract_answer, outcome_of, reading_of
from igaku.reading.digits import digits_of, read_digits
from igaku.reading.reply import Reply


def boxes(drawn, digits):
    text = f"ただし、小数第2位を四捨五入すること。解答：{drawn}"
    row = {"problem_id": "116B50", "problem_text": text, "choices": []}
    return Question.from_record(row | {"answer": [digits]})


RATE = boxes("①.②g/日", "21")
VOLUME = boxes("①②③mL", "325")
ODDS = boxes("①.②", "04")
POPULATION = boxes("①②③④人", "1250")

NO_BOXES = {ord(box): None for box in "①②③❶❷"}

IN_BOXES = [
    "① → 2\n② → 1",
    "①→2、②→1",
    "① -> 2, ② -> 1",
    "①は2、②は1です。",
    "①が2、②が1",
    "①には2、②には1が入る。",
    "①に2、②に1を入れる。",
    "①に入る数字は2、②に入る数字は1",
    "②：1\n①：2",
    "**①** 2\n**②** 1",
    "(①) 2　(②) 1",
    "①【2】②【1】",
    "①「2」、②「1」",
    "①：2（整数部）\n②：1（小数部）",
    "| ① | 2 |\n| ② | 1 |",
    "| ① | ② |\n|---|---|\n| 2 | 1 |",
    "①, ② = 2, 1",
    "❶ 2 ❷ 1",
    "① is 2 and ② is 1",
    '{"①": 2, "②": 1}',
    '{"②": "1", "①": "2"}',
    r"①=\boxed{2}, ②=\boxed{1}",
    "①3②2\n訂正：①2②1",
    "①は3ではなく2、②は1",
    "答え：①2②1（2.05 を四捨五入）",
    "① 尿量 2,500 mL = 2.5 L\n② 0.82 × 2.5 = 2.05\n③ 四捨五入\n\n答え：2.1",
    "答え：2.1\n\n① 8 時間ごとに採取する。\n② 5 回を合わせる。",
]


@pytest.mark.parametrize("text", IN_BOXES)
def test_boxes_in_any_dress(text):
    assert extract_answer(text, RATE) == ("21",)


SUMS = [
    "Answer: 0.7×3 = 2.1",
    "Answer: 0.7 × 3 = 2.1 (g/day)",
    "計算：1.75 × 1.2 = 2.1 (g/日)",
    "答え：0.82（g/L）× 2.5（L）= 2.05（g）≒ 2.1（g/日）",
    "答え: 2.1 (= 0.82 × 2.5)",
    "答え: 2.1 = 0.84 × 2.5",
    "答え: 2.05 → 2.1",
    "答え: 2.05 ≒ 2.1 g/日",
    "答え: 2.05（≒2.1）",
    "答え: 2.05 g/日（四捨五入して 2.1 g/日）",
    "答え: 2.05を四捨五入して2.1",
    "答え: 2.05 g/日、小数第2位を四捨五入すると2.1 g/日です。",
    "答え: 2.1 g/日（2.05を四捨五入）",
    "答え: 2.1 g/日 = 2100 mg/日",
    "答え: 2.1 g/日。0.82 × 2.5 = 2.05 から求めた。",
    "答えは、尿量2,500mLと尿蛋白82mg/dLから計算して2.1 g/日です。",
    "## 解答\n尿蛋白 0.82 g/L × 尿量 2.5 L = 2.05 g/日\n四捨五入して **2.1 g/日**",
    "解答: 0.82 × 2.5 = 2.05\nよって 2.1 g/日",
    "82 mg/dL × 25 dL = 2050 mg = 2.05 g\n\n**2.1 g/日**",
    "Step 1: 82 mg/dL = 0.82 g/L\nStep 2: 0.82 × 2.5 = 2.05\n→ 2.1 g/day",
    "Answer: 2.05, rounded to 2.1",
    "Answer: 2.05 rounds to 2.1 g/day.",
    "The answer is 2.1 g/day when rounded to 1 decimal place.",
    "The answer, rounded to one decimal place, is 2.1.",
    r"$0.82 \times 2.5 = 2.05 \approx \boxed{2.1}\ \text{g/day}$",
    r"答え：$0.82 \times 2.5 = 2.05 \approx 2.1$",
    "Therefore, rounding 2.05 to 2.1, the daily loss is 2.1 g.",
]


@pytest.mark.parametrize("text", SUMS)
def test_a_sum_states_what_it_arrives_at(text):
    assert extract_answer(text, RATE) == ("21",)


ALL_KINDS = [
    "答え：325 mL\n\n【計算】\n100 × 3.2 = 320\n320 - 112 = 208\n208 ÷ 0.64 = 325 mL",
    "**325 mL**\n\n計算：\n1. 320 kcal\n2. 112 kcal\n3. 208 ÷ 0.64 = 325",
    "1. 必要：320 kcal/日\n2. 人工乳：112 kcal/日\n3. 投与量：208 / 0.64 = **325 mL**",
    "静脈栄養投与量は 325 mL となる。",
    r"したがって、静脈栄養投与量は$$208 / 0.64 = 325\ \text{mL}$$",
    "So we need 208 kcal / 0.64 kcal/mL = 325 mL.",
    "The volume needed is 325 mL per day.",
    "正解：325mL\n理由：体重3.2kg、100kcal/kg/日より320kcal。",
    "A. 325 mL",
    "#### 325",
    "①②③：325mL",
    "3 2 5",
    "[3, 2, 5]",
    "解答：3・2・5",
    '{"answer": ["3", "2", "5"]}',
    "答え: 324.8 mL → 325 mL",
    "答え：約325 mL（324.8 mL）",
    "324.8 mLです。\n小数第1位を四捨五入すると325 mLです。",
    "最初は300と考えたが、正しくは325。",
    "I initially got 300, but the correct answer is 325.",
    "答えは325。300と間違えやすい。",
    "300 mL（誤り）\n325 mL（正解）",
    "答え：300\n\n…すみません、計算を間違えました。正しい答えは325です。",
    "答え：300 mL\n※訂正：325 mL",
    "答えは300。あ、違う。325だ。",
    "答案：300，不对，应该是325",
]


@pytest.mark.parametrize("text", ALL_KINDS)
def test_what_replies_to_a_whole_number_look_like(text):
    assert extract_answer(text, VOLUME) == ("325",)


@pytest.mark.parametrize(
    "text", ["2.1 g/24h", "答え：2.1 g/24時間", "2.05 g/日\n四捨五入して2.1"]
)
def test_a_rate_by_the_day(text):
    assert extract_answer(text, RATE) == ("21",)


def test_a_number_in_a_sentence_that_declines_is_no_answer():
    text = "表がないため計算できません。体重は3200gです。"
    assert extract_answer(text, VOLUME) is None


TAKEN_BACK = [
    "答えは300ではなく325",
    "答えは「300」ではなく「325」です。",
    "答えは300 mLではなく、325 mLです。",
    "答えは300ではない。325である。",
    "答えは325であって300ではない。",
    "答え: 300。いや、325。",
    "答え：300\n\n訂正：325",
    "答え：300\n\n訂正します。正しくは325 mLです。",
    "答え：300\n\n待って。100 × 3.5 = 350、350 − 25 = 325。\nしたがって325 mL。",
    "Answer: 300. Wait, 325.",
    "Answer: 300... no, it should be 325.",
    "Answer: 300\nCorrection: 325",
    "The answer is not 300 but 325.",
    "The answer is 325, not 300.",
    "The answer is 325 rather than 300.",
    "Instead of 300, the answer is 325.",
    "~~300~~ 325",
    "不正解: 300\n正解: 325",
    "正解: 325\n不正解: 300",
    "正解: 325\nよくある誤答: 300",
    "Correct answer: 325\nIncorrect answer: 300",
    "Wrong answer: 300\nAnswer: 325",
    "答案不是300，而是325。",
    "정답은 300이 아니라 325입니다.",
    '{"previous_answer": 300, "answer": 325}',
    '{"answer": 325, "incorrect_answer": 300}',
]


@pytest.mark.parametrize("text", TAKEN_BACK)
def test_a_number_taken_back_is_none(text):
    assert extract_answer(text, VOLUME) == ("325",)


DRESSED = [
    '{"answer": 2.1}',
    '{"answer": "2.1 g/日"}',
    '```json\n{"reason": "0.82 × 2.5 = 2.05", "answer": 2.1, "sure": 0.9}\n```',
    '{"answer": {"value": 2.1, "unit": "g/日"}}',
    '{"answer": "2.05 ≒ 2.1"}',
    '{"answer": [2, 1]}',
    '{"解答": "2.1"}',
    '{"final_answer": 2.1, "check": 3.5}',
    "<answer>2.1</answer>",
    "<answer>2.1 g/日</answer>\n(3.5 g/日以上ならネフローゼ)",
    r"答えは $\boxed{\text{2.1 g/日}}$ です。",
    r"\(\boxed{2.1}\)",
    "２．１ｇ／日",
    "答え：２．１",
    "約 2.1",
    "約2.1グラム/日",
    "およそ2.1 g",
    "~2.1 g/day",
    "Approximately 2.1 g/day",
    "The answer is about 2.1 g/day.",
    "【解答】2.1",
    "【答え】\n2.1 g/日",
    "### Answer\n\n**2.1 g/day**",
    "最終解答：2.1",
    "Final answer: 2.1\n\nCheck: the answer 2.05 was rounded.",
    "結論として、2.1 g/日です。",
    "答案：2.1克/天",
    "正确答案是 2.1。",
    "因此，最终答案为2.1 g/天。",
    "정답: 2.1",
    "답은 약 2.1 g/일입니다.",
    "따라서 2.1 g/일입니다.",
]


@pytest.mark.parametrize("text", DRESSED)
def test_cues_of_four_languages_json_and_boxes_of_latex(text):
    assert extract_answer(text, RATE) == ("21",)


@pytest.mark.parametrize(
    "text",
    [
        "1,250",
        "１，２５０人",
        "1\u202f250",
        "1'250",
        "答え：$1{,}250$ 人",
        r"$1\,250$",
        "答えは1,250人です。",
        '{"answer": "1,250"}',
    ],
)
def test_thousands(text):
    assert extract_answer(text, POPULATION) == ("1250",)


@pytest.mark.parametrize(
    "text",
    [
        "300〜325",
        "答え：300〜325 mL",
        "答え: 300～325",
        "答え: 300-325 mL",
        "答え：300 mL から 325 mL",
        "The answer is between 300 and 325.",
        "Answer: 300 to 325 mL",
        "答え：300または325",
        "答え：300か325",
        "Answer: 300 or 325",
        "答えは325ではありません。",
        "The answer is not 325.",
        "不正解：325",
        "答え: 350 - 25",
        "答え：小数第1位",
        "Answer: rounded to 1 decimal place",
        '{"answer": null}',
        "答え：①②③ mL",
    ],
)
def test_a_range_an_alternative_and_a_denial_are_no_answer(text):
    assert extract_answer(text, VOLUME) is None


def test_what_a_range_is_narrowed_to_is_one():
    assert extract_answer("300〜325の間なので、答え：312", VOLUME) == ("312",)


@pytest.mark.parametrize(
    "text", ["0.4", "答え: .4", "①0②4", "約0.4（40%）", "40/100 = 0.4"]
)
def test_a_quotient(text):
    assert extract_answer(text, ODDS) == ("04",)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("答え: 2.05", "205"),
        ("答え: 0.82 × 2.5 = 2.05", "205"),
        ("答え: 2.1 × 10 = 21.0", "210"),
    ],
)
def test_what_was_not_rounded_keeps_its_digits(text, digits):
    assert extract_answer(text, RATE) == (digits,)


# --- from where -----------------------------------------------------------------------


@pytest.mark.parametrize("text", [*IN_BOXES, *SUMS, *DRESSED])
def test_a_reading_tells_its_place_and_rule(text):
    reading = reading_of(text, RATE)
    start, end = reading.span
    assert reading.rule is not None
    said = digits_of(unicodedata.normalize("NFKC", text[start:end].translate(NO_BOXES)))
    between = "3" if text == "①は3ではなく2、②は1" else ""
    assert sorted(said) == ["1", "2", *between]


def test_the_next_best_statement_is_told():
    reading = reading_of("答え：2.1\n\n訂正：2.2", RATE)
    assert (reading.answer, reading.rule) == (("22",), "correction")
    reading = reading_of("よって2.5 g。\n答え：2.1", RATE)
    assert (reading.answer, reading.second) == (("21",), ("25",))


def test_the_permissive_reader_takes_the_last_number_that_fits():
    text = "尿量は2.5 Lで、尿蛋白は2.1 gほどと見積もられ、80 kgの人なら多い。"
    assert read_digits(text, RATE).answer is None
    reading = read_digits(text, RATE, permissive=True)
    assert (reading.answer, reading.is_strict) == (("80",), False)
    assert read_digits("答え：2.1", RATE, permissive=True).answer == ("21",)


# --- cut replies ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "答え: 2",
        "答え: 2.",
        "答え：①2",
        "0.82 × 2.5 = 2.0",
        "答え: 0.82 × 2.",
        "よって2.1",
    ],
)
def test_half_a_number_that_the_budget_cut_is_no_answer(text):
    cut = Reply(content=text, finish_reason="length")
    assert outcome_of(cut, RATE).outcome == "truncated"


# --- any text, any length -------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *'①②③0123456789.,、。:：=≒→×()（）「」[]{}"\n |約〜か',
        *("答え", "ではなく", "四捨五入して", "いや、", "Answer: ", "not ", " or "),
        *("\\boxed{", "g/日", "訂正："),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join), st.booleans())
def test_any_text_is_read_and_its_place_holds_its_digits(text, permissive):
    for question in (RATE, VOLUME):
        reading = read_digits(text, question, permissive)
        assert (reading.answer is None) == (reading.span is None)
        if reading.answer:
            start, end = reading.span
            assert 0 <= start < end <= len(text)
            assert digits_of(text[start:end])


@settings(max_examples=200, deadline=None)
@given(
    st.integers(100, 999),
    st.integers(100, 999),
    st.sampled_from(
        [
            *(
                "答えは{0}ではなく{1}です。",
                "答え：{0}。いや、{1}。",
                "答え：{0}\n訂正：{1}",
            ),
            *("Not {0} but {1}.", "Answer: {0}. Wait, {1}.", "{0} + 5 = {1} mL"),
            *('{{"wrong_answer": {0}, "answer": {1}}}', "計算値 {0}。答え：{1} mL"),
            *("①{0}\n答え：{1}", "不正解：{0}\n答え：{1}"),
            "解答：{1} mL（{0} mLではない）",
        ]
    ),
)
def test_the_number_that_stands_is_read(other, meant, shape):
    assert extract_answer(shape.format(other, meant), VOLUME) == (str(meant),)


REPEATED = [
    *("①2", "①2②1", "①、", "| ① ", "①", "2.1", "2.1 ", "2,", "1,250", "0", "0.", "㍍2"),
    *(
        "答え: ",
        "答え: 2.1 ",
        "答え: 2.1\n",
        "答え：(",
        "不正解：2",
        "= 2.1 ",
        "2 × 3 = 6\n",
    ),
    *(
        "3ではなく",
        "3か",
        "3〜",
        "いや、",
        "いや、2。",
        "約",
        "訂正：2、",
        "Wait, 2",
        "2-",
    ),
    *(
        '{"answer": ',
        '"answer": 2,',
        '{"answer": [2,',
        "[2, ",
        "\\boxed{",
        "\\boxed{2}",
    ),
    *(
        "<answer>",
        "よって",
        "よって2。",
        "四捨五入して",
        "2.05を四捨五入して",
        "round 2 to ",
    ),
    *(
        "not 2 but ",
        " ",
        "\n",
        "(",
        "(2",
        "a",
        "ﷺ",
        "\u202f",
        "g/日",
        "2 rounded ",
        "2('",
    ),
]


@pytest.mark.parametrize("piece", REPEATED)
def test_reading_takes_time_in_proportion_to_the_text(piece):
    assert_linear(lambda text: read_digits(text, RATE), piece)
