"""The prompt: what each kind of question is asked, and where a wording comes from."""

import json
from dataclasses import replace

import pytest

from igaku.ask.plan import plan_of
from igaku.ask.prompt import (
    load_prompt,
    messages,
    prompt_frame,
    prompt_from_recorded,
    prompt_sha256,
    shared_prefix,
)
from igaku.errors import IgakuError
from igaku.exam.questions import Question, load_exam, load_examples
from igaku.params.settings import settings_from

YAML = """\
name: mine
language: ja
system: 選べ。
question: "問：{text}\\n{choices}\\n{instruction}"
numeric_question: "問：{text}\\n{instruction}"
choice: "({label}) {choice}"
choose_one: "{last}まで1つ"
choose_many: "{last}まで{n}つ"
number: 数字
"""


def asked(question, **wording):
    return messages(load_prompt(**wording), question)[-1]["content"]


def question(n_choices=5, answer=("c",), text="正しいのはどれか。"):
    choices = [f"選択肢{n}" for n in range(1, n_choices + 1)]
    row = {"problem_id": "116A1", "problem_text": text, "choices": choices}
    return Question.from_record(row | {"answer": list(answer)})


# --- what is asked -----------------------------------------------------------


def test_a_question_shows_its_text_and_labelled_choices():
    lines = asked(question()).splitlines()
    assert lines[0] == "正しいのはどれか。"
    assert lines[2:7] == [f"{label}. 選択肢{n}" for n, label in enumerate("abcde", 1)]
    assert lines[-1] == "答え:"


@pytest.mark.parametrize(("n", "letters"), [(5, "a〜e"), (6, "a〜f"), (8, "a〜h")])
def test_the_letters_named_are_those_of_the_choices(n, letters):
    line = asked(question(n)).splitlines()[-2]
    assert letters in line
    assert "1つ" in line


@pytest.mark.parametrize("gold", ["ab", "ace"])
def test_the_number_of_answers_is_named(gold):
    assert f"ちょうど{len(gold)}つ" in asked(question(answer=gold))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_numeric_question_asks_for_a_number_and_no_letter(language):
    prompt = load_prompt(language=language)
    numeric = question(0, ["21"], "1日尿蛋白量を求めよ。解答：①.②g/日")
    content = messages(prompt, numeric)[-1]["content"]
    assert prompt.number in content
    for words in ("a〜", "記号", "選び", "option", "letter", "Choose", "a."):
        assert words not in content


def test_a_struck_question_without_gold_asks_for_one_answer():
    assert "1つ" in asked(question(answer=()))


def test_a_joined_case_comes_before_the_question():
    follow_up = replace(question(), context="50歳の女性。")
    assert asked(follow_up).startswith("50歳の女性。\n正しいのはどれか。\n")


def test_braces_in_a_question_are_left_alone():
    text = "$\\dot{V}$25と{text}"
    assert asked(question(text=text)).startswith(text)


# --- the messages ------------------------------------------------------------


@pytest.mark.parametrize("shots", [0, 1, 2, 3])
def test_worked_examples_are_turns_before_the_question(shots):
    examples = load_examples("calibration", shots)
    chat = messages(load_prompt(), question(), examples)
    turns = ["user", "assistant"] * shots
    assert [m["role"] for m in chat] == ["system", *turns, "user"]
    assert [m["content"] for m in chat if m["role"] == "assistant"] == [
        ",".join(example.answer) for example in examples
    ]


def test_an_empty_system_line_sends_no_system_message():
    prompt = replace(load_prompt(), system="")
    assert [m["role"] for m in messages(prompt, question())] == ["user"]


def test_the_seeds_examples(shared):
    examples = load_examples(2022, 2, shared / "data" / "igakuqa")
    chat = messages(load_prompt(), question(), examples)
    assert "ヒトゲノム" in chat[1]["content"]
    assert "ちょうど2つ" in chat[3]["content"]
    assert [chat[2]["content"], chat[4]["content"]] == ["e", "a,b"]


def prefixes_and_last_lines(questions, examples, prompt):
    chats = [messages(prompt, q, examples) for q in questions]
    assert all(chat[:-1] == shared_prefix(prompt, examples) for chat in chats)
    return [chat[-1]["content"] for chat in chats]


@pytest.mark.parametrize("context", ["as_released", "joined"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_all_questions_of_exam_116_share_their_prefix(shared, language, context):
    folder = shared / "data" / "igakuqa"
    questions = load_exam(
        2022, data_dir=folder, language=language, serial_context=context
    )
    examples = load_examples(2022, 2, folder, language)
    prompt = load_prompt(language=language)
    contents = prefixes_and_last_lines(questions, examples, prompt)
    assert len(set(contents)) == 400
    for q, content in zip(questions, contents, strict=True):
        assert q.prompt_text in content
        assert (prompt.number in content) == (q.kind == "numeric")


def test_all_calibration_questions_share_their_prefix():
    questions = load_exam("calibration")
    examples = load_examples("calibration", 2)
    contents = prefixes_and_last_lines(questions, examples, load_prompt())
    assert len(contents) == 400


def test_exam_116_asks_right_for_its_odd_questions(shared):
    folder = shared / "data" / "igakuqa"
    by_id = {q.problem_id: q for q in load_exam(2022, "BCF", folder)}
    assert "a〜f" in asked(by_id["116F75"])
    for numeric in ("116B50", "116C75", "116F74"):
        assert "半角数字" in asked(by_id[numeric])
    assert "2つ" in asked(by_id["116C68"]).splitlines()[-2]


def test_english_asks_in_english():
    content = asked(question(6, "ab", "Which?"), language="en")
    assert "exactly 2 options from a to f" in content
    assert content.endswith("Answer:")


# --- the hash ----------------------------------------------------------------


def test_the_hash_tells_wordings_apart():
    chat = messages(load_prompt(), question())
    assert prompt_sha256(chat) == prompt_sha256(list(map(dict, chat)))
    reordered = [dict(reversed(message.items())) for message in chat]
    assert prompt_sha256(chat) == prompt_sha256(reordered)
    other = messages(load_prompt(), question(6))
    assert prompt_sha256(chat) != prompt_sha256(other)


def test_the_hash_stays_the_same_over_versions():
    chat = [{"role": "user", "content": "答え:"}]
    assert prompt_sha256(chat) == (
        "54f95d0bade71df54042753142b956182608ca12618ba8535e9a3b797b10f1b3"
    )


# --- a study's own wording ---------------------------------------------------


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(YAML, encoding="utf-8")
    return path


def test_a_prompt_is_read_from_a_path(own):
    prompt = load_prompt(str(own))
    assert prompt == load_prompt(own)
    assert prompt.name == "mine"
    chat = messages(prompt, question(answer="ab"))
    assert chat[0]["content"] == "選べ。"
    assert chat[1]["content"].startswith("問：正しいのはどれか。\n(a) 選択肢1\n")
    assert chat[1]["content"].endswith("eまで2つ")


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("{text}", "{txt}", "placeholder"),
        ("{text}", "{}", "placeholder"),
        ("{text}", "{text.body}", "placeholder"),
        ("{text}", "{text", "placeholder"),
        ("問：{text}", "問", "{text}"),
        ("{choices}", "", "{choices}"),
        ("({label}) {choice}", "({label})", "{choice}"),
        ("{last}まで{n}つ", "{m}つ", "placeholder"),
        ("number: 数字\n", "", "a text under number"),
        ("number: 数字", "number: 5", "a text under number"),
        ("number: 数字", "number: 数字\nnumbr: x", "numbr: did you mean number?"),
        ("name: mine", "name: [mine", "(line 2) is not readable as YAML"),
    ],
)
def test_a_slip_in_a_prompt_file_gets_one_sentence(own, was, becomes, says):
    own.write_text(YAML.replace(was, becomes), encoding="utf-8")
    with pytest.raises(IgakuError) as caught:
        load_prompt(own)
    assert own.name in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"- a\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_prompt_is_named(own, body):
    own.write_bytes(body)
    with pytest.raises(IgakuError, match=r"own\.yaml"):
        load_prompt(own)


def test_a_prompt_in_another_language_is_refused(own):
    with pytest.raises(IgakuError, match="language 'ja'"):
        load_prompt(own, "en")


@pytest.mark.parametrize("name", ["baselin", "", "/nowhere/x.yaml"])
def test_an_unknown_prompt_names_the_known_ones(name):
    with pytest.raises(IgakuError, match="baseline"):
        load_prompt(name)


# --- a recorded wording ------------------------------------------------------


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "results.json"
    body = {"prompts": {"one": "一。\n", "two": "二。"}, "details": {"two": []}}
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def test_a_recorded_prompt_is_the_one_that_was_used(recorded):
    prompt = prompt_from_recorded(recorded)
    assert (prompt.name, prompt.system) == ("recorded:two", "二。")
    assert prompt.question == load_prompt().question
    assert load_prompt(str(recorded)) == prompt


def test_a_recorded_prompt_can_be_named_and_stays_verbatim(recorded):
    assert prompt_from_recorded(recorded, "one").system == "一。\n"
    assert load_prompt(f"{recorded}#one").system == "一。\n"


def test_an_unknown_recorded_prompt_names_the_known_ones(recorded):
    with pytest.raises(IgakuError, match="one, two"):
        load_prompt(f"{recorded}#three")


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"prompts": {}}', '{"prompts": 1}'])
def test_a_file_without_prompts_is_named(recorded, body):
    recorded.write_text(body, encoding="utf-8")
    with pytest.raises(IgakuError, match=r"results\.json"):
        load_prompt(recorded)


def test_a_single_recorded_prompt_needs_no_key(recorded):
    recorded.write_text('{"prompts": {"only": "x"}}', encoding="utf-8")
    assert load_prompt(recorded).system == "x"


def test_several_recorded_prompts_need_a_key(recorded):
    recorded.write_text('{"prompts": {"a": "x", "b": "y"}}', encoding="utf-8")
    with pytest.raises(IgakuError, match="a, b"):
        load_prompt(recorded)


def test_every_shared_recording_yields_its_prompt(shared):
    files = sorted((shared / "data" / "recorded").glob("*.json"))
    assert files
    for path in files:
        prompt = load_prompt(path)
        body = json.loads(path.read_text(encoding="utf-8"))
        assert prompt.name == "recorded:baseline"
        assert prompt.system == body["prompts"]["baseline"]
        assert messages(prompt, question())[0]["content"] == prompt.system


def test_the_messages_of_a_question_are_a_frame():
    settings = settings_from(model="x", exam="calibration", shots=1)
    question = load_exam("calibration")[0]
    shown = prompt_frame(settings, question)
    assert shown["role"].to_list() == ["system", "user", "assistant", "user"]
    (item,) = plan_of(settings, [question]).items
    assert shown["content"].to_list() == [m["content"] for m in item.chat]
