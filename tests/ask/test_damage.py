"""Damaged folders: nothing is lost, nothing believed that cannot be, one command heals.

Everything here is a real run of the calibration exam against a stand-in, then damaged.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from no_files import NO_FILES
from stand_in import Answer, StandIn
from typer.testing import CliRunner

from igaku.ask import asker, preflight, run
from igaku.ask.repair import repair
from igaku.ask.rows import is_deep, mend, read_rows, set_aside, survey
from igaku.cli import app
from igaku.errors import IgakuError
from igaku.exam.questions import load_exam
from igaku.params.settings import settings_from
from igaku.study.evidence import wrong_grades
from igaku.study.families import open_study
from igaku.study.runs import load_run

N = 12
QUESTIONS = load_exam("calibration")[:N]
GOLD = {question.problem_id: list(question.answer) for question in QUESTIONS}
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(asker, "BACKOFF", 0.001)


@pytest.fixture(scope="module")
def server():
    with StandIn(lambda asked, n: Answer("答え: c")) as server:
        yield server


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """The folder of a run to which nothing has happened yet."""
    return run.run_exam(
        settings(server, tmp_path_factory.mktemp("whole")), QUESTIONS, False
    )


@pytest.fixture
def place(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "r")


def settings(server, outputs, **given):
    given = {"model": "stand-in", "exam": "calibration", "shots": 0} | given
    return settings_from(
        base_url=server.base_url, outputs_dir=outputs, run="r", **given
    )


def go_on(server, place, questions=QUESTIONS, **given):
    return run.run_exam(settings(server, place.parent, **given), questions, False)


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def told(place):
    return json.loads((place / "manifest.json").read_bytes())


def names_of(path):
    return sorted(json.loads(line)["problem_id"] for line in lines_of(path))


def is_whole(place):
    return names_of(place / "answers.jsonl") == sorted(GOLD)


# --- lines ----------------------------------------------------------------------------


def changed(**change):
    return lambda line: json.dumps(json.loads(line) | change).encode() + b"\n"


DEEP = b'{"problem_id": "900A1", "outcome": "empty", "raw": ' + b"[" * 3000
BAD = {
    "torn": lambda line: line[:40] + b"\n",
    "nul": lambda line: b"\0" * 4096 + b"\n",
    "list": lambda line: b"[" + line.rstrip() + b"]\n",
    "utf-16": lambda line: line.rstrip().decode().encode("utf-16") + b"\n",
    "not utf-8": lambda line: line.replace("答".encode(), b"\xff\xfe", 1),
    "two in one": lambda line: line.rstrip() + line,
    "deep": lambda line: DEEP + b"]" * 3000 + b"}\n",
    "just too deep": changed(raw=json.loads("[" * 100 + "]" * 100)),
    "outcome": changed(outcome="zzz"),
    "correct": changed(correct="yes"),
    "answer": changed(answer=5),
    "letters": changed(answer=[5]),
    "no outcome": changed(outcome=None),
    "no id": changed(problem_id=""),
    "id of another kind": changed(problem_id=["900A1"]),
    "of another run": changed(problem_id="116A1"),
    "credited to another": changed(problem_id=QUESTIONS[-1].problem_id),
    "other words": changed(prompt_sha256="0" * 64),
    "no words": changed(prompt_sha256=None),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_left_out_set_aside_and_asked_again(kind, server, place):
    path = place / "answers.jsonl"
    lines = lines_of(path)
    bad = BAD[kind](lines[4])
    assert bad != lines[4]
    path.write_bytes(b"".join([*lines[:4], bad, *lines[5:]]))
    lost = json.loads(lines[4])["problem_id"]
    assert lost not in set(load_run(place).rows["problem_id"])
    assert len(load_run(place).rows) == N - 1

    sent = len(server.asked)
    go_on(server, place)
    assert len(server.asked) == sent + 1 and is_whole(place)
    assert lines_of(path)[: N - 1] == lines[:4] + lines[5:]
    assert (place / "answers.bad.jsonl").read_bytes() == bad
    assert "answers.bad.jsonl" in told(place)["damage"][0]
    assert load_run(place).notes == () and told(place)["status"] == "OK"


@pytest.mark.filterwarnings("ignore")
def test_a_grade_that_its_answer_does_not_have_is_asked_again(server, place):
    path = place / "answers.jsonl"
    lines = lines_of(path)
    row = json.loads(lines[3])
    other = changed(correct=not row["correct"])(lines[3])
    path.write_bytes(b"".join([*lines[:3], other, *lines[4:]]))
    go_on(server, place)
    assert (place / "answers.bad.jsonl").read_bytes() == other and is_whole(place)


@pytest.mark.filterwarnings("ignore")
def test_of_two_answers_to_one_question_the_first_stands(server, place):
    path = place / "answers.jsonl"
    lines = lines_of(path)
    second = changed(content="答え: e")(lines[2])
    path.write_bytes(b"".join([*lines[:5], lines[2], second, *lines[5:]]))
    seen = load_run(place).rows.set_index("problem_id")["content"]
    sent = len(server.asked)
    go_on(server, place)
    assert len(server.asked) == sent  # nothing is left to ask
    assert lines_of(path) == lines
    assert lines_of(place / "answers.bad.jsonl") == [lines[2], second]
    after = load_run(place).rows.set_index("problem_id")["content"]
    assert after.equals(seen)


def test_what_is_damaged_is_said_once_with_its_lines(server, place):
    path = place / "answers.jsonl"
    lines = lines_of(path)
    path.write_bytes(b"".join([b"{\n", *lines, b"[]\n", b"{{\n"]))
    with pytest.warns(UserWarning, match=r"lines 1, 15: torn.* line 14: not an answer"):
        go_on(server, place)
    assert lines_of(path) == lines


def test_brackets_are_counted_as_a_parser_does():
    assert not is_deep(json.dumps({"a": "[" * 5000, "b": ['\\"{' * 200]}).encode())
    assert not is_deep(b"[[]" * 50 + b"]" * 50)
    assert is_deep(b'{"a":' * 101 + b"1" + b"}" * 101)


@pytest.mark.parametrize("depth", [60, 400])
def test_how_deep_a_row_nests_is_judged_alike_in_any_stack(depth, whole, tmp_path):
    path = tmp_path / "answers.jsonl"
    line = lines_of(whole / "answers.jsonl")[0]
    path.write_bytes(changed(raw=json.loads("[" * depth + "]" * depth))(line))

    def at(frames):
        return at(frames - 1) if frames else len(read_rows(path))

    assert {at(frames) for frames in (0, 200, 600)} == {int(depth < 100)}


def test_a_kill_between_the_two_steps_doubles_no_line(place):
    path, aside = place / "answers.jsonl", place / "answers.bad.jsonl"
    lines = lines_of(path)
    start = survey(path).rows[3]["at"]
    aside.write_bytes(lines[3] + lines[0][:9])  # written, then torn with the next
    set_aside(path, {start: aside.name})
    assert lines_of(aside) == [lines[3]] and lines_of(path) == lines[:3] + lines[4:]


def test_mending_looks_at_the_end_alone(tmp_path):
    path = tmp_path / "answers.jsonl"
    for tail, kept in ((b"", b""), (b'{"a": 1}', b'{"a": 1}\n'), (b'{"a', b"")):
        path.write_bytes(b"x" * 3_000_000 + b"\n" + tail)
        mend(path)
        assert path.read_bytes() == b"x" * 3_000_000 + b"\n" + kept


# --- the manifest ---------------------------------------------------------------------


def without(**change):
    return lambda data: json.dumps(json.loads(data) | change).encode()


LOST = {
    "gone": lambda data: None,
    "empty": lambda data: b"",
    "nul": lambda data: b"\0" * 512,
    "torn": lambda data: data[: len(data) // 2],
    "list": lambda data: b"[]",
    "number": lambda data: b"7",
    "not text": lambda data: b"\xff\xfe" + data,
    "deep": lambda data: b'{"a":' * 100_000,
    "closed deep": lambda data: b"[" * 900 + b"]" * 900,
}
WRONG = {
    "questions": without(questions="x"),
    "no questions": without(questions=[None]),
    "exam": without(exam=["x"]),
    "sessions": without(sessions={"a": 1}),
    "null sessions": without(sessions=[None]),
    "identity": without(identity="x"),
    "effort": without(effort="x"),
    "order": without(order={"kind": "stratified"}),
    "label": without(card={"label": ["x"]}),
    "model": without(settings={"model": ["x"]}),
    "settings": without(settings=[1]),
    "condition": without(condition={"model": 5}),
    "status": without(status="ZZZ"),
    "outcomes": without(outcomes=3),
    "format": without(format="one"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [*LOST, *WRONG])
def test_with_a_damaged_manifest_the_replies_stay_usable(kind, server, place):
    path, damage = place / "manifest.json", (LOST | WRONG)[kind]
    data = damage(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    lines = lines_of(place / "answers.jsonl")

    found = load_run(place)
    assert found.rows["problem_id"].is_unique and len(found.rows) == N
    graded = dict(zip(found.rows["problem_id"], found.rows["correct"], strict=True))
    assert graded == {name: gold == ["c"] for name, gold in GOLD.items()}
    (note,) = found.notes
    assert "r/manifest.json" in note and "`igaku repair r`" in note

    sent = len(server.asked)
    go_on(server, place)
    assert len(server.asked) == sent
    assert lines_of(place / "answers.jsonl") == lines
    assert load_run(place).notes == () and told(place)["status"] == "OK"
    if data is None:
        assert not list(place.glob("manifest.broken*"))
    else:
        assert (place / "manifest.broken.json").read_bytes() == data


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_known_is_never_claimed(server, place):
    path = place / "answers.jsonl"
    path.write_bytes(b"".join(lines_of(path)[:7]))
    (place / "manifest.json").unlink()
    go_on(server, place)
    found = told(place)
    assert found["rebuilt"]["rows"] == 7 and found["rebuilt"]["served"] == ["stand-in"]
    lost = found["rebuilt"]["unknown"]
    assert {"max_tokens", "temperature", "seed", "extra_body"} <= {*lost}
    assert not {"exam", "shots", "language", "model"} & {*lost}
    assert all(found["settings"][name] is None for name in lost)
    assert load_run(place).budget is None and load_run(place).identity == "unverified"
    # What the second sitting asked with is its own to tell.
    before, after = found["sessions"]
    assert before["rebuilt"] and "max_tokens" not in before
    assert after["max_tokens"] == 1024
    # From here on it is a run like any other.
    with pytest.raises(IgakuError, match=r"max_tokens \(1024, now 99\)"):
        go_on(server, place, max_tokens=99)


@pytest.mark.filterwarnings("ignore")
def test_what_can_be_known_has_to_agree(server, place):
    (place / "manifest.json").unlink()
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(IgakuError, match="not to the words of these settings"):
        go_on(server, place, shots=1)
    with pytest.raises(IgakuError, match="stand-in as the model that gave them"):
        go_on(server, place, model="another")
    after = {path.name: path.read_bytes() for path in place.iterdir()}
    assert after.pop(".lock") and before.pop(".lock") and after == before


@pytest.mark.filterwarnings("ignore")
def test_a_sound_part_is_kept_and_still_binds(server, place):
    path = place / "manifest.json"
    kept = told(place)
    path.write_text(json.dumps(kept | {"sessions": "x", "questions": [1]}))
    with pytest.raises(IgakuError, match=r"max_tokens \(1024, now 99\)"):
        go_on(server, place, max_tokens=99)
    go_on(server, place)
    assert told(place)["condition"] == kept["condition"]
    assert told(place)["rebuilt"]["unknown"] == []
    assert told(place)["questions"] == kept["questions"]


@pytest.mark.filterwarnings("ignore")
def test_what_a_manifest_lacks_is_filled_in(server, place):
    kept = told(place)
    del kept["questions"], kept["sessions"]
    (place / "manifest.json").write_text(json.dumps(kept))
    go_on(server, place)
    assert "lacks questions, sessions" in told(place)["rebuilt"]["why"]
    assert [q["problem_id"] for q in told(place)["questions"]] == [*GOLD]


def test_a_later_format_is_refused_and_never_written_over(server, place):
    path = place / "manifest.json"
    path.write_text(json.dumps(told(place) | {"format": 99}))
    before = path.read_bytes()
    said = r"r/manifest\.json is of format 99, .* up to 1: update igaku"
    with pytest.raises(IgakuError, match=said):
        go_on(server, place)
    with pytest.raises(IgakuError, match=said):
        repair("r", place.parent, write=True)
    (note,) = load_run(place).notes
    assert "of format 99" in note and len(load_run(place).rows) == N
    (place / "answers.jsonl").unlink()
    with pytest.raises(IgakuError, match=said):
        go_on(server, place)
    assert path.read_bytes() == before


# --- igaku repair ---------------------------------------------------------------------


def test_repair_shows_first_and_does_it_when_told(server, place):
    path = place / "answers.jsonl"
    lines = lines_of(path)
    path.write_bytes(b"".join([*lines[:3], b"{\n", *lines[3:]]))
    (place / "manifest.json").write_bytes(b"[]")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    asked = ["repair", "r", "--outputs", str(place.parent)]
    shown = CliRunner().invoke(app, asked).output
    assert "line 4: torn" in shown and "answers.bad.jsonl" in shown
    assert "manifest.json cannot be read" in shown and "max_tokens" in shown
    assert "manifest.broken.json keeps the old one" in shown
    assert "`igaku repair r --write`" in shown
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before

    assert "This is done." in CliRunner().invoke(app, [*asked, "--write"]).output
    assert lines_of(path) == lines and load_run(place).notes == ()
    assert (place / "manifest.broken.json").read_bytes() == b"[]"
    assert load_run(place).rows["gold"].tolist() == [tuple(GOLD[name]) for name in GOLD]
    assert repair("r", place.parent) == ["r: nothing is damaged."]
    sent = len(server.asked)
    go_on(server, place)
    assert len(server.asked) == sent and told(place)["status"] == "OK"


def test_repair_guesses_no_exam(place):
    path = place / "answers.jsonl"
    other = [changed(correct=True, answer=["a"])(line) for line in lines_of(path)]
    path.write_bytes(b"".join(other))
    (place / "manifest.json").unlink()
    repair("r", place.parent, write=True)
    assert all("gold" not in question for question in told(place)["questions"])


def test_repair_names_a_run_that_is_not_there(tmp_path):
    with pytest.raises(IgakuError, match="There is no run r in"):
        repair("r", tmp_path)


# --- any byte -------------------------------------------------------------------------


def spoilt(data, rng):
    """Data with a few bytes changed, cut out, put in or cut off."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at, size = rng.randrange(len(data)), rng.choice([1, 1, 1, 40, 4000])
        how = rng.randrange(4)
        if how == 0:
            data[at : at + size] = rng.randbytes(min(size, len(data) - at))
        elif how == 1:
            del data[at : at + size]
        elif how == 2:
            data[at:at] = rng.choice([b"\n", b"\0" * size, rng.randbytes(size), b"{["])
        elif len(data) > 1:
            data = data[: max(at, 1)] if rng.random() < 0.2 else data
    return bytes(data) or b"\n"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", ["answers.jsonl", "manifest.json", "both"])
@pytest.mark.parametrize("seed", range(12))
def test_whatever_byte_is_damaged(file, seed, server, place):
    rng = random.Random(f"{file} {seed}")
    lines = lines_of(place / "answers.jsonl")
    words = {json.loads(n)["problem_id"]: json.loads(n)["prompt_sha256"] for n in lines}
    for name in ("answers.jsonl", "manifest.json"):
        if file in (name, "both"):
            data = spoilt((place / name).read_bytes(), rng)
            (place / name).write_bytes(data)
    left = lines_of(place / "answers.jsonl")
    untouched = [line for line in lines if line in left]
    rows = load_run(place).rows
    credited = zip(rows["problem_id"], rows["prompt_sha256"], strict=True)
    if file == "answers.jsonl":
        assert all(words[name] == sent for name, sent in credited)
    try:
        go_on(server, place)
    except IgakuError:  # a setting is another now, as the sentence says
        assert set(untouched) <= set(lines_of(place / "answers.jsonl"))
        assert file != "answers.jsonl"
        return
    after = lines_of(place / "answers.jsonl")
    assert set(untouched) <= set(after) and is_whole(place)
    for row in map(json.loads, after):
        assert row["prompt_sha256"] == words[row["problem_id"]]


@pytest.mark.parametrize(
    ("name", "other"), [("prompt_sha256", "0" * 64), ("accepted", [["c"]])]
)
def test_an_entry_that_row_and_exam_contradict_is_mended_and_costs_no_answer(
    name, other, server, place
):
    before, path = lines_of(place / "answers.jsonl"), place / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    answered = {
        row["problem_id"] for row in map(json.loads, before) if row["answer"] == ["c"]
    }  # which is wrong by the exam's gold
    entry = next(q for q in manifest["questions"] if q["problem_id"] in answered)
    path.write_text(json.dumps(manifest | {
        "questions": [q | {name: other} if q is entry else q
                      for q in manifest["questions"]],
    }), "utf-8")  # fmt: skip
    with pytest.warns(UserWarning, match=f"such as {entry['problem_id']}, .*the exam"):
        go_on(server, place)
    assert lines_of(place / "answers.jsonl") == before
    assert json.loads(path.read_text("utf-8"))["questions"] == manifest["questions"]


def test_a_grade_that_is_not_its_answers_is_shown_and_named_until_asked_again(
    server, place
):
    rows = [json.loads(line) for line in lines_of(place / "answers.jsonl")]
    wrong = rows[2] | {"correct": not rows[2]["correct"]}
    text = "".join(json.dumps(row) + "\n" for row in (*rows[:2], wrong, *rows[3:]))
    (place / "answers.jsonl").write_text(text, encoding="utf-8")
    name = wrong["problem_id"]
    study = open_study(place.parent)
    shown = study.runs[0].rows.set_index("problem_id")
    assert len(shown) == N and shown.loc[name, "correct"] == wrong["correct"]
    (alarm,) = wrong_grades(study)
    assert alarm.grave and alarm.facts["questions"] == [name]
    assert "a grade that is not that of its answer" in repair("r", place.parent)[0]
    with pytest.warns(UserWarning, match="a grade that is not that of its answer"):
        go_on(server, place)
    assert list(wrong_grades(open_study(place.parent))) == []
    assert name in names_of(place / "answers.jsonl")


# --- what is no file ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("put", NO_FILES)
@pytest.mark.parametrize("name", ["answers.jsonl", "manifest.json", ".lock"])
def test_what_is_no_file_is_named_and_nothing_hangs(name, put, server, place):
    (place / name).unlink()
    put(place / name)
    said = rf"r/{name} is a \w+ where a file belongs: move it away"
    with pytest.raises(IgakuError, match=said):
        go_on(server, place)
    if name == "answers.jsonl":
        with pytest.raises(IgakuError, match=said):
            load_run(place)
        with pytest.raises(IgakuError, match=said):
            preflight.check(settings(server, place.parent), QUESTIONS)
    else:
        assert len(load_run(place).rows) == N
        assert bool(load_run(place).notes) == (name == "manifest.json")


# --- a file larger than the memory ----------------------------------------------------

RESUME = """
    import resource, sys
    from pathlib import Path
    from igaku.ask.rows import mend, set_aside, survey
    path = Path(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mend(path)
    found = survey(path)
    set_aside(path, {row["at"]: "errors.jsonl" for row in found.rows[::2]})
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(len(found.rows), (after - before) // 1024)
"""


def test_a_long_file_is_gone_on_with_in_little_memory(whole, tmp_path):
    path, row = (
        tmp_path / "answers.jsonl",
        json.loads(lines_of(whole / "answers.jsonl")[0]),
    )
    text = "考える " * 150_000  # 1.5 MB a reply, as a model that loops leaves it
    with path.open("wb") as file:
        for number in range(100):
            told = {
                "problem_id": f"900A{number}",
                "reasoning": text,
                "raw": {"a": text},
            }
            file.write(json.dumps(row | told, ensure_ascii=False).encode() + b"\n")
    size = path.stat().st_size / 2**20
    code = [sys.executable, "-c", textwrap.dedent(RESUME), str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run(code, capture_output=True, text=True, env=environment)
    assert said.returncode == 0, said.stderr
    rows, grown = map(int, said.stdout.split())
    assert rows == 100 and size > 200 and grown < 60, (size, grown)
