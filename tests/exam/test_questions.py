"""The exam: reading rows, whole files or none, fetching, cases, examples, limits."""

import json
import re
import shutil
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igaku.errors import IgakuError
from igaku.exam import igakuqa
from igaku.exam.igakuqa import fetch_exam
from igaku.exam.questions import (
    Question,
    _vignette,
    exam_hashes,
    load_exam,
    load_examples,
    stratified,
)

ROW = {
    "problem_id": "116A1",
    "problem_text": "正しいのはどれか。",
    "choices": ["一", "二", "三", "四", "五"],
    "text_only": True,
    "answer": ["c"],
    "points": "1",
}
FOLLOW_UPS = {
    "B": (41, 43, 45, 47, 49),
    "C": (61, 62, 64, 65, 67, 68, 70, 71, 73, 74),
    "E": (42, 44, 46, 48, 50),
    "F": (60, 61, 63, 64, 66, 67, 69, 70, 72, 73),
}


def question(**changes):
    return Question.from_record(ROW | changes)


def one_sentence(caught):
    """The message, once it is one sentence that a person can act on."""
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert not re.search(r"[a-z]\. [A-Z]", text), text
    return text


# --- one row -----------------------------------------------------------------


def test_a_row_becomes_a_question():
    about = {"category": "呼吸器", "kinki": ["d"], "human_accuracy": "87.8"}
    read = Question.from_record(ROW, about)
    assert (read.problem_id, read.section, read.answer) == ("116A1", "A", ("c",))
    assert (read.kind, read.points, read.text_only) == ("choice", 1, True)
    assert (read.category, read.kinki, read.human_accuracy) == ("呼吸器", ("d",), 87.8)
    assert read.labels == tuple("abcde")
    assert read.stem is None
    assert read.accepted == (("c",),)


def test_a_row_may_lack_what_is_optional():
    read = Question.from_record(
        {"problem_id": "116C75", "problem_text": "計算せよ。", "answer": ["325"]}
    )
    assert (read.kind, read.answer, read.points) == ("numeric", ("325",), 1)
    assert (read.category, read.kinki, read.human_accuracy) == (None, (), None)
    assert read.labels == ()


def test_a_row_without_an_answer_is_named():
    with pytest.raises(IgakuError) as caught:
        Question.from_record({"problem_id": "116A1", "problem_text": "?"})
    assert "116A1 lacks answer" in one_sentence(caught)


def test_a_wrong_problem_id_is_named():
    with pytest.raises(IgakuError, match="'116G1'"):
        question(problem_id="116G1")


@pytest.mark.parametrize(
    ("gold", "accepted"),
    [
        (["c"], (("c",),)),
        (["e", "a"], (("a", "e"),)),
        (["a or d"], (("a",), ("d",))),
        (["Ｃ"], (("c",),)),
        ("b", (("b",),)),
        ([], ((),)),
    ],
)
def test_gold_letters(gold, accepted):
    read = question(answer=gold)
    assert read.accepted == accepted
    assert read.answer == accepted[0]


@pytest.mark.parametrize(
    ("gold", "digits"), [("21", "21"), ("04", "04"), ("7.20", "720"), ("１.２", "12")]
)
def test_numeric_gold_is_the_digits_of_the_boxes(gold, digits):
    assert question(choices=[], answer=[gold]).answer == (digits,)


@pytest.mark.parametrize(
    ("entries", "letters"),
    [(["d"], "d"), (["ｃ"], "c"), (["ade"], "ade"), (["c", "e"], "ce"), ([], "")],
)
def test_kinki_are_single_letters(entries, letters):
    assert Question.from_record(ROW, {"kinki": entries}).kinki == tuple(letters)


def test_kinki_are_letters_of_choices_only():
    assert Question.from_record(ROW, {"kinki": ["eg"]}).kinki == ("e",)


@pytest.mark.parametrize(
    ("text", "percent"), [("87.8", 87.8), ("84", 84.0), ("", None), (None, None)]
)
def test_human_accuracy_is_a_number_or_unknown(text, percent):
    read = Question.from_record(ROW, {"human_accuracy": text})
    assert read.human_accuracy == percent


@pytest.mark.parametrize(("points", "n"), [("0", 0), (0, 0), ("3", 3), (None, 1)])
def test_points(points, n):
    assert question(points=points).points == n


@pytest.mark.parametrize(("n", "last"), [(5, "e"), (6, "f"), (8, "h")])
def test_there_is_a_label_for_every_choice(n, last):
    assert question(choices=["x"] * n).labels[-1] == last


def test_a_head_is_its_own_stem():
    text = "次の文を読み、以下の問いに答えよ。50歳の女性。病態はどれか。"
    assert question(problem_text=text).stem == "116A1"


def test_a_row_may_name_its_case():
    assert question(serial="116A0").stem == "116A0"


# --- the released exams ------------------------------------------------------


@pytest.fixture(scope="session")
def igakuqa_folder(shared):
    return shared / "data" / "igakuqa"


@pytest.fixture(scope="session")
def exam116(igakuqa_folder):
    return {q.problem_id: q for q in load_exam(2022, data_dir=igakuqa_folder)}


@pytest.fixture(scope="session")
def exam112(igakuqa_folder):
    return {q.problem_id: q for q in load_exam(2018, data_dir=igakuqa_folder)}


def test_the_shape_of_exam_116(exam116):
    questions = list(exam116.values())
    sizes = Counter(q.section for q in questions)
    assert sizes == {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}
    kinds = Counter((q.kind, len(q.choices), len(q.answer)) for q in questions)
    assert kinds == {
        ("choice", 5, 1): 335,
        ("choice", 6, 1): 1,
        ("choice", 5, 2): 44,
        ("choice", 5, 3): 17,
        ("numeric", 0, 1): 3,
    }
    assert sum(not q.text_only for q in questions) == 99


def test_the_points_of_exam_116(exam116):
    struck = [q.problem_id for q in exam116.values() if q.points == 0]
    assert struck == ["116A34", "116B43", "116C36", "116D64"]
    required = sum(q.points for q in exam116.values() if q.section in "BE")
    assert required == 197
    assert sum(q.points for q in exam116.values()) == 494


def test_the_odd_entries_of_exam_116(exam116):
    assert [exam116[i].answer for i in ("116B50", "116C75", "116F74")] == [
        ("21",),
        ("325",),
        ("04",),
    ]
    assert exam116["116F75"].labels == tuple("abcdef")
    assert exam116["116C67"].kinki == ("c",)
    assert exam116["116F38"].kinki == ("a", "d", "e")
    unknown = [q.problem_id for q in exam116.values() if q.human_accuracy is None]
    assert len(unknown) == 5
    assert exam116["116F1"].human_accuracy == 84.6


def test_the_odd_entries_of_exam_112(exam112):
    assert exam112["112B30"].accepted == (("a",), ("d",))
    assert exam112["112F84"].answer == ("12",)
    assert exam112["112A27"].kinki == ("c", "d", "e")
    assert sum(q.points for q in exam112.values()) == 499


def test_the_cases_of_exam_116(exam116):
    follow_ups = [q for q in exam116.values() if q.stem not in (None, q.problem_id)]
    assert [q.problem_id for q in follow_ups] == [
        f"116{section}{n}" for section, ns in FOLLOW_UPS.items() for n in ns
    ]
    heads = {q.stem for q in exam116.values() if q.stem}
    assert len(heads) == 20
    assert all(exam116[head].text.startswith("次の文を読み") for head in heads)
    assert exam116["116F61"].stem == "116F59"
    assert all(q.context is None for q in exam116.values())


def test_the_cases_of_exam_112_follow_the_printed_ranges(exam112):
    cases = Counter(q.stem for q in exam112.values() if q.stem)
    assert len(cases) == 20
    assert {n for head, n in cases.items() if head[3] in "BE"} == {2}
    assert {n for head, n in cases.items() if head[3] in "CF"} == {3}
    assert exam112["112C53"].stem == "112C51"
    assert exam112["112C66"].stem is None


@pytest.mark.parametrize("year", [2018, 2022])
def test_joined_puts_the_case_before_its_follow_ups(igakuqa_folder, year):
    joined = load_exam(year, data_dir=igakuqa_folder, serial_context="joined")
    heads = {q.problem_id: q for q in joined if q.stem == q.problem_id}
    follow_ups = [q for q in joined if q.context]
    assert len(follow_ups) == 30
    assert not any(q.context for q in heads.values())
    for q in follow_ups:
        assert heads[q.stem].text.startswith(q.context)
        left_out = heads[q.stem].text[len(q.context) :]
        assert re.fullmatch(r"[^。]*か。(\dつ選べ。)?", left_out)
        assert len(left_out) < 80 < len(q.context)
        assert q.prompt_text == f"{q.context}\n{q.text}"


CASE = "次の文を読み、以下の問いに答えよ。\n72歳の女性。ふらつきを主訴に来院した。"
PRESCRIBED = "処方：\nフロセミド 20 mg 1日1回\nジゴキシン 0.125 mg 1日1回"
TABLE = "Na | 128\nK | 5.9"


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        (CASE, "最も疑うのはどれか。"),
        (CASE, "最も疑うのはどれか"),
        (CASE, "\n適切なのはどれか。2つ選べ。"),
        (CASE, "適切なのはどれか。２つ選べ"),
        (CASE, "\n血清浸透圧を求めよ。"),
        (f"{CASE}\n{PRESCRIBED}", "\n中止すべき薬剤はどれか"),
        (f"{CASE}\n{PRESCRIBED}", "\n入院後に最初に確認すべき\n検査値はどれか。"),
        (f"{CASE}\n検査所見\n{TABLE}", "\nまず行うべき治療はどれか。"),
        (f"{CASE}\n・夫と2人暮らし\n・要介護1", "\n利用できる制度は何か。"),
        (CASE, "正しい組合せはどれか。\na Na 高値 | K 低値\nb Na 低値 | K 高値"),
        (CASE, "正しいのはどれか。\n① 高値\n② 低値"),
    ],
)
def test_a_vignette_keeps_all_but_the_heads_own_question(kept, asked):
    assert _vignette(kept + asked, "ja") == kept


@pytest.mark.parametrize(
    "head",
    [
        f"{CASE}\n{TABLE}",  # asks nothing at its end
        f"{CASE}{'長い経過が句点なしに続き' * 12}病態はどれか。",
        f"{CASE}\n治療 | 適切か",  # a row of a table
    ],
)
def test_what_does_not_look_like_a_question_stays_in_the_vignette(head):
    assert _vignette(head, "ja") == head


@pytest.mark.parametrize("tail", ["", " (Select two.)", "\na: Na\nb: K"])
def test_an_english_vignette_keeps_its_table(tail):
    kept = "Read the case.\nA 72-year-old woman fell.\nNa | 128\nK | 5.9"
    assert _vignette(f"{kept}\nWhich test comes first?{tail}", "en") == kept


def test_joined_changes_only_the_context(igakuqa_folder, exam116):
    joined = load_exam(2022, data_dir=igakuqa_folder, serial_context="joined")
    for q in joined:
        assert q.text == exam116[q.problem_id].text


def test_english_has_the_same_gold(igakuqa_folder, exam116):
    english = load_exam(2022, data_dir=igakuqa_folder, language="en")
    assert [q.problem_id for q in english] == list(exam116)
    for q in english:
        twin = exam116[q.problem_id]
        assert (q.answer, q.labels, q.stem) == (twin.answer, twin.labels, twin.stem)
    assert english[0].text.isascii()


def test_english_cases_join_too(igakuqa_folder):
    joined = load_exam(
        2022, data_dir=igakuqa_folder, language="en", serial_context="joined"
    )
    contexts = {q.problem_id: q.context for q in joined if q.context}
    assert len(contexts) == 30
    assert "Select two" not in contexts["116C73"]
    assert not contexts["116F66"].endswith("?")


@pytest.mark.parametrize("sections", ["F", "fb", ["B", "F"], ("A", "A")])
def test_sections_come_in_exam_order(igakuqa_folder, sections):
    questions = load_exam(2022, sections, igakuqa_folder)
    wanted = sorted(set("".join(sections).upper()))
    assert list(dict.fromkeys(q.section for q in questions)) == wanted


def test_the_environment_names_a_folder(igakuqa_folder, monkeypatch, exam116):
    monkeypatch.setenv("IGAKU_DATA", str(igakuqa_folder))
    assert load_exam("2022", "A") == list(exam116.values())[:75]


def test_a_clone_of_igakuqa_is_read(igakuqa_folder, tmp_path, exam116):
    shutil.copytree(igakuqa_folder / "2022", tmp_path / "data" / "2022")
    shutil.copytree(igakuqa_folder / "prompts", tmp_path / "scripts" / "prompts")
    assert load_exam(2022, data_dir=tmp_path) == list(exam116.values())
    assert load_exam(2022, "A", tmp_path / "data") == list(exam116.values())[:75]
    assert len(load_examples(2022, 2, tmp_path / "data")) == 2


def test_the_shipped_hashes_are_those_of_the_files(igakuqa_folder):
    hashes = {}
    for year in (2018, 2022):
        for language in ("ja", "en"):
            hashes |= exam_hashes(year, igakuqa_folder, language=language)
    assert hashes == igakuqa._hash_table(igakuqa.RELEASED)


def test_hashes_are_of_the_files_a_run_reads(igakuqa_folder):
    assert len(exam_hashes(2022, igakuqa_folder, shots=0)) == 12
    assert list(exam_hashes(2022, igakuqa_folder, "B")) == [
        "data/2022/116-B.jsonl",
        "data/2022/116-B_metadata.jsonl",
        "scripts/prompts/prompt.jsonl",
    ]
    assert len(exam_hashes(2022, igakuqa_folder, "B", "en")) == 4


# --- examples ----------------------------------------------------------------


@pytest.mark.parametrize("shots", [0, 1, 2, 3])
def test_examples_are_the_first_of_three(igakuqa_folder, shots):
    examples = load_examples(2022, shots, igakuqa_folder)
    ids = ["100E5", "100A60", "100A1"]
    assert [q.problem_id for q in examples] == ids[:shots]
    assert [q.answer for q in examples] == [("e",), ("a", "b"), ("c",)][:shots]


def test_examples_in_english(igakuqa_folder):
    (example,) = load_examples(2022, 1, igakuqa_folder, language="en")
    assert example.text.startswith("Which of the following is not")
    assert example.choices[1] == "The freedom to consent"


@pytest.mark.parametrize("shots", [-1, 4, True, "2"])
def test_other_numbers_of_shots_are_refused(shots):
    with pytest.raises(IgakuError) as caught:
        load_examples("calibration", shots)
    assert "0, 1, 2, 3" in one_sentence(caught)


# --- the calibration exam ----------------------------------------------------


def test_the_calibration_exam_needs_no_file(monkeypatch):
    monkeypatch.setenv("IGAKU_DATA", "/nowhere")
    questions = load_exam("calibration")
    assert len(questions) == len({q.problem_id for q in questions}) == 400
    assert {q.section for q in questions} == set("ABCDEF")
    assert {q.kind for q in questions} == {"choice", "numeric"}
    assert len(load_examples("calibration", 3)) == 3
    assert exam_hashes("calibration") == exam_hashes("calibration", sections="A")


def test_calibration_cases_join_like_the_real_ones():
    joined = load_exam("calibration", serial_context="joined")
    follow_ups = [q for q in joined if q.context]
    assert len(follow_ups) >= 10
    assert all(q.stem != q.problem_id for q in follow_ups)
    assert all(q.context.endswith("であった。") for q in follow_ups)


def test_the_calibration_exam_is_japanese():
    with pytest.raises(IgakuError) as caught:
        load_exam("calibration", language="en")
    assert "language" in one_sentence(caught)


# --- what is asked for wrongly -----------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"year": 2023},
        {"year": "calibrate"},
        {"year": True},
        {"sections": "AG"},
        {"sections": ""},
        {"serial_context": "join"},
        {"language": "fr"},
        {"data_dir": "/nowhere"},
    ],
)
def test_a_wrong_argument_gets_one_sentence(wrong):
    with pytest.raises(IgakuError) as caught:
        load_exam(**wrong)
    assert str(next(iter(wrong.values()))).upper() in one_sentence(caught).upper()


# --- missing, cut and altered files ------------------------------------------
# A made-up exam of 2020, whose hashes igaku does not ship, and of 2022, whose it does.


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def write_year(folder, year):
    for section in igakuqa.SECTIONS:
        ids = igakuqa._ids(year, section)
        rows = [ROW | {"problem_id": i} for i in ids]
        english = {"problem_text_en": "Which?", "choices_en": list("vwxyz")}
        for kind, extra in (
            ("", {}),
            ("_metadata", {"kinki": []}),
            ("_translate", english),
        ):
            path = folder / igakuqa.section_file(year, section, kind)
            write(path, [row | extra for row in rows])


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """A folder like IgakuQA with two years, and the hash table of one of them."""
    folder = tmp_path_factory.mktemp("igakuqa")
    for year in (2020, 2022):
        write_year(folder, year)
    for language in ("ja", "en"):
        english = {"problem_text_en": "Which?", "choices_en": list("vwxyz")}
        rows = [ROW | english | {"problem_id": f"100A{n}"} for n in (1, 2, 3)]
        write(folder / igakuqa.examples_file(language), rows)
    table = "".join(
        f"{igakuqa.file_sha256(folder / name)}  {name}\n"
        for name in igakuqa.year_files(2022)
    )
    (folder / "shipped.sha256").write_text(table, encoding="utf-8")
    return folder


@pytest.fixture
def folder(made_up, tmp_path, monkeypatch):
    """A private copy of the made-up files; nothing outside it is used."""
    monkeypatch.setattr(igakuqa, "RELEASED", made_up / "shipped.sha256")
    monkeypatch.setenv("IGAKU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IGAKU_DATA", raising=False)
    return shutil.copytree(made_up, tmp_path / "files")


def drop_last_line(text):
    return "".join(text.splitlines(keepends=True)[:-1])


def double_a_line(text):
    lines = text.splitlines(keepends=True)
    return "".join(lines[:3] + lines[2:])


def double_for_another(text):
    lines = text.splitlines(keepends=True)
    return "".join(lines[:3] + lines[2:3] + lines[4:])


TAMPERINGS = {
    "cut in a line": lambda text: text[: len(text) // 2],
    "cut between lines": drop_last_line,
    "empty": lambda text: "",
    "a line twice": double_a_line,
    "a line twice, another lost": double_for_another,
    "another id": lambda text: text.replace('D7"', 'D99"', 1),
    "no object": lambda text: "[]\n" + text.partition("\n")[2],
    "a key lost": lambda text: text.replace('"problem_id"', '"id"', 1),
    "not text": lambda text: text.replace("D1", "\udc80", 1),
}
KINDS = ("", "_metadata", "_translate")


@pytest.mark.parametrize("year", [2020, 2022])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_damaged_file_is_named(folder, year, kind, tampering):
    path = folder / igakuqa.section_file(year, "D", kind)
    text = TAMPERINGS[tampering](path.read_text(encoding="utf-8"))
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(IgakuError) as caught:
        load_exam(year, "ABCDEF", folder, language="en")
    assert str(path) in one_sentence(caught)
    assert "IgakuQA" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_named(folder, kind):
    path = folder / igakuqa.section_file(2020, "D", kind)
    path.unlink()
    with pytest.raises(IgakuError) as caught:
        load_exam(2020, "D", folder, language="en")
    assert f"{path} is missing" in one_sentence(caught)


@pytest.mark.parametrize("kind", KINDS)
def test_one_altered_letter_is_noticed_where_the_hash_is_known(folder, kind):
    path = folder / igakuqa.section_file(2022, "D", kind)
    path.write_text(path.read_text(encoding="utf-8").replace('"c"', '"d"', 1))
    with pytest.raises(IgakuError) as caught:
        load_exam(2022, "D", folder, language="en")
    assert f"{path} differs from the released file" in one_sentence(caught)


def test_altered_examples_are_noticed(folder):
    path = folder / igakuqa.examples_file()
    path.write_text(path.read_text(encoding="utf-8").replace('"c"', '"d"', 1))
    with pytest.raises(IgakuError, match=re.escape(str(path))):
        load_examples(2022, 1, folder)


@pytest.mark.parametrize("gold", [["z"], ["f"], []])
def test_a_gold_answer_without_its_choice_is_noticed(folder, gold):
    path = folder / igakuqa.section_file(2020, "A")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    write(path, [rows[0] | {"answer": gold}, *rows[1:]])
    with pytest.raises(IgakuError) as caught:
        load_exam(2020, "A", folder)
    assert "114A1" in one_sentence(caught)
    assert "114-A.jsonl" in str(caught.value)


def test_a_question_without_translation_is_named(folder):
    path = folder / igakuqa.section_file(2020, "A", "_translate")
    text = path.read_text(encoding="utf-8").replace("Which?", "", 1)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(IgakuError) as caught:
        load_exam(2020, "A", folder, language="en")
    assert "114A1 has no whole English translation" in one_sentence(caught)
    assert len(load_exam(2020, "A", folder)) == 75


def test_metadata_joins_by_id_in_any_order(folder):
    path = folder / igakuqa.section_file(2020, "A", "_metadata")
    ids = igakuqa._ids(2020, "A")
    write(path, [{"problem_id": i, "category": i} for i in reversed(ids)])
    assert all(q.category == q.problem_id for q in load_exam(2020, "A", folder))


# --- download ----------------------------------------------------------------


class Server(SimpleHTTPRequestHandler):
    """Serves a folder; a path in `cut` ends halfway, one in `gone` is not found."""

    asked: Counter
    cut: set
    gone: set

    def do_GET(self):
        name = self.path.lstrip("/")
        self.asked[name] += 1
        if name in self.gone:
            self.send_error(404)
        elif name in self.cut:
            self.send_half(name)
        else:
            super().do_GET()

    def send_half(self, name):
        body = (self.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(folder, monkeypatch):
    """A stand-in for GitHub on this machine."""
    own = type(
        "Own",
        (Server,),
        {"asked": Counter(), "cut": set(), "gone": set(), "folder": folder},
    )
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(own, directory=str(folder)))
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{http.server_port}/"
    monkeypatch.setenv("IGAKU_DATA_URL", url)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    own.url = url
    yield own
    http.shutdown()
    http.server_close()


def cached_files(tmp_path):
    return [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


@pytest.mark.parametrize("year", [2020, 2022])
def test_an_exam_is_fetched_once_with_a_progress_bar(server, year, capsys):
    first = load_exam(year)
    assert len(first) == 400
    shown = capsys.readouterr().out
    assert f"IgakuQA {year}" in shown
    assert "20/20" in shown
    assert load_exam(year, language="en")
    assert len(load_examples(year, 3)) == 3
    assert set(server.asked) == set(igakuqa.year_files(year))
    assert set(server.asked.values()) == {1}
    assert capsys.readouterr().out == ""


def test_the_address_may_end_without_a_slash(server, monkeypatch, folder):
    monkeypatch.setenv("IGAKU_DATA_URL", server.url.rstrip("/"))
    cached = fetch_exam(2022)
    for name in igakuqa.year_files(2022):
        assert (cached / name).read_bytes() == (folder / name).read_bytes()


def test_two_years_share_the_examples(server):
    load_exam(2022)
    load_exam(2020)
    assert len(load_exam(2022)) == len(load_exam(2020)) == 400
    assert server.asked["data/2022/116-A.jsonl"] == 1


@pytest.mark.parametrize("year", [2020, 2022])
@pytest.mark.parametrize("fault", ["cut", "gone"])
def test_a_broken_download_leaves_nothing_behind(server, tmp_path, year, fault):
    name = igakuqa.section_file(year, "D")
    getattr(server, fault).add(name)
    with pytest.raises(IgakuError) as caught:
        load_exam(year)
    assert name in one_sentence(caught)
    assert cached_files(tmp_path) == []
    getattr(server, fault).clear()
    assert len(load_exam(year)) == 400


def test_a_first_download_must_have_the_exams_shape(server, folder, tmp_path):
    path = folder / igakuqa.section_file(2020, "D")
    whole = path.read_text(encoding="utf-8")
    path.write_text(drop_last_line(whole), encoding="utf-8")
    with pytest.raises(IgakuError, match="74 rows"):
        load_exam(2020)
    assert cached_files(tmp_path) == []


def test_an_altered_download_is_refused(server, folder, tmp_path):
    path = folder / igakuqa.section_file(2022, "D")
    path.write_text(path.read_text(encoding="utf-8").replace('"c"', '"d"', 1))
    with pytest.raises(IgakuError) as caught:
        load_exam(2022)
    assert "116-D.jsonl is not the released file" in one_sentence(caught)
    assert cached_files(tmp_path) == []


@pytest.mark.parametrize("year", [2020, 2022])
def test_an_altered_cache_is_mended(server, year):
    path = fetch_exam(year) / igakuqa.section_file(year, "D")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert len(load_exam(year)) == 400
    assert path.read_bytes() == whole
    assert sum(server.asked.values()) == 21


def test_a_later_download_must_equal_the_first(server, folder):
    cached = fetch_exam(2020) / igakuqa.section_file(2020, "D")
    cached.unlink()
    source = folder / igakuqa.section_file(2020, "D")
    source.write_text(source.read_text(encoding="utf-8").replace('"c"', '"d"', 1))
    with pytest.raises(IgakuError, match="not the released file"):
        load_exam(2020)


def test_a_folder_is_held_against_the_first_download_too(server, folder):
    fetch_exam(2020)
    source = folder / igakuqa.section_file(2020, "D")
    source.write_text(source.read_text(encoding="utf-8").replace('"c"', '"d"', 1))
    with pytest.raises(IgakuError, match="differs from the released file"):
        load_exam(2020, data_dir=folder)


def test_offline_one_sentence_names_three_ways(folder, monkeypatch, capsys):
    monkeypatch.setenv("IGAKU_DATA_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    with pytest.raises(IgakuError) as caught:
        load_exam(2022)
    text = one_sentence(caught)
    assert all(way in text for way in ("network", "IGAKU_DATA", "calibration"))
    monkeypatch.setenv("IGAKU_DATA", str(folder))
    assert len(load_exam(2022)) == 400


def test_a_cache_that_cannot_be_made_is_named(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IGAKU_CACHE", str(tmp_path / "file"))
    with pytest.raises(IgakuError) as caught:
        load_exam(2022)
    assert "IGAKU_CACHE" in one_sentence(caught)


def test_the_released_files_come_whole_through_a_download(
    igakuqa_folder, tmp_path, monkeypatch, exam116
):
    """The real files, the shipped hashes and a local server together."""
    shutil.copytree(igakuqa_folder / "2022", tmp_path / "web" / "data" / "2022")
    shutil.copytree(igakuqa_folder / "prompts", tmp_path / "web/scripts/prompts")
    handler = partial(QuietServer, directory=str(tmp_path / "web"))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("IGAKU_DATA_URL", f"http://127.0.0.1:{http.server_port}")
    monkeypatch.setenv("IGAKU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IGAKU_DATA", raising=False)
    assert load_exam(2022) == list(exam116.values())
    http.shutdown()
    http.server_close()


class QuietServer(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


# --- a limit -----------------------------------------------------------------


def paper(sizes):
    """Questions of sections A, B, … with the given sizes."""
    return [
        question(problem_id=f"116{section}{n}")
        for section, size in zip("ABCDEF", sizes, strict=False)
        for n in range(1, size + 1)
    ]


PAPERS = st.lists(st.integers(0, 12), min_size=1, max_size=6).map(paper)


@given(PAPERS, st.integers(1, 90))
def test_a_limit_keeps_order_and_balance(questions, limit):
    chosen = stratified(questions, limit)
    assert len(chosen) == min(limit, len(questions))
    places = [questions.index(q) for q in chosen]
    assert places == sorted(set(places))
    had, kept = (Counter(q.section for q in qs) for qs in (questions, chosen))
    not_used_up = [kept[s] for s in had if kept[s] < had[s]]
    for n in not_used_up:
        assert n >= max(kept.values()) - 1


@given(PAPERS, st.integers(1, 80))
def test_a_larger_limit_only_adds(questions, limit):
    assert set(stratified(questions, limit)) <= set(stratified(questions, limit + 1))


def test_a_limit_spreads_over_each_section():
    questions = paper([64])
    assert [q.problem_id for q in stratified(questions, 4)] == [
        "116A1",
        "116A17",
        "116A33",
        "116A49",
    ]
    assert stratified(questions, None) == questions


def test_a_limit_below_one_is_refused():
    with pytest.raises(IgakuError) as caught:
        stratified(paper([3]), 0)
    assert "limit is 0" in one_sentence(caught)
