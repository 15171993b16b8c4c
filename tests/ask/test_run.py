"""Asking a whole exam: what is kept, what is asked again, and what ends a run."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from stand_in import Answer, StandIn, cut

from bench.bench_stop import asked_order, exam_order, shares_of, stopped
from igaku import words
from igaku.ask import asker, folder, health, manifest, plan, preflight, run
from igaku.ask.prompt import load_prompt
from igaku.ask.rows import read_rows
from igaku.errors import IgakuError
from igaku.exam.questions import Question, load_exam
from igaku.params.declared import read_declared
from igaku.params.settings import settings_from
from igaku.study.declared import declare
from igaku.study.runs import load_run, status

KEYS = """
    problem_id section outcome answer correct content reasoning finish_reason
    prompt_tokens completion_tokens reasoning_tokens reasoning_tokens_estimated
    cached_tokens seconds tokens_per_second served_model reply_id attempts
    prompt_sha256 error raw asked_at
    cause rule span second permissive marks reader
""".split()  # noqa: SIM905


def question(number, section="A"):
    row = {"problem_id": f"116{section}{number}", "problem_text": f"質問{number}"}
    row |= {"choices": list("アイウエオ"), "answer": ["c"], "points": "1"}
    return Question.from_record(row)


CHECKOUT = Path(__file__).parents[2]
IMPORTED = os.pathsep.join(map(str, (CHECKOUT, CHECKOUT / "tests")))
QUESTIONS = [question(number) for number in range(1, 21)]


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(asker, "BACKOFF", 0.001)
    monkeypatch.setattr(manifest, "exam_hashes", lambda *_: {}, raising=False)


@pytest.fixture
def ask(tmp_path):
    """Ask questions at a server; returns the settings and the folder of the run."""

    def asked(server, questions=QUESTIONS, **given):
        given = {"model": "stand-in", "exam": "calibration", "shots": 0} | given
        settings = settings_from(
            base_url=server.base_url, outputs_dir=tmp_path, run="r", **given
        )
        return run.run_exam(settings, questions, progress=False)

    return asked


@pytest.fixture
def place(tmp_path):
    return tmp_path / "r"


def rows_in(path):
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def answers(place):
    return rows_in(place / "answers.jsonl")


def told(place):
    return json.loads((place / "manifest.json").read_bytes())


def ids(rows):
    return [row["problem_id"] for row in rows]


# --- what is kept ---------------------------------------------------------------------


def test_every_question_is_asked_once_and_kept_whole(ask, place):
    with StandIn() as server:
        assert ask(server) == place
    rows = answers(place)
    assert sorted(ids(rows)) == sorted(ids(vars(q) for q in QUESTIONS))
    assert all(list(row) == KEYS for row in rows)
    first = rows[0]
    assert (first["outcome"], first["answer"], first["correct"]) == (
        "answered",
        ["c"],
        True,
    )
    assert first["raw"]["choices"][0]["message"] == {
        "role": "assistant",
        "content": "c",
        "reasoning": "hm",
    }
    assert first["tokens_per_second"] is None and first["error"] is None
    assert first["seconds"] > 0 and first["attempts"] == 1
    assert "質問" not in json.dumps(first["raw"])
    assert set(server.questions.values()) == {1}


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("lag", [0, 0.005, 0.08])
def test_a_response_sent_twice_is_kept_with_its_own_question_alone(
    lag, concurrency, ask, place
):
    def behave(asked, n):
        own = re.search(r"質問\d+(?=\n)", asked["messages"][-1]["content"])[0]
        return Answer("c", own, delay=0.01, copy_after=lag if n == 5 else None)

    with StandIn(behave) as server:
        ask(server, concurrency=concurrency)
    kept = {row["problem_id"]: row["reasoning"] for row in answers(place)}
    assert kept == {f"116A{i}": f"質問{i}" for i in range(1, 21)}


def test_text_is_kept_readable_and_every_body_can_be_kept(ask, place):
    body = b'{"choices": [{"message": {"content": "c \\ud83d"}}], "x": "\\u2028"}'
    with StandIn(lambda asked, n: Answer("答えは c", "考える")) as server:
        ask(server, QUESTIONS[:1])
    assert "答えは c".encode() in (place / "answers.jsonl").read_bytes()
    with StandIn(lambda asked, n: Answer(body=body)) as server:
        ask(server, QUESTIONS[:3])
    rows = answers(place)
    assert rows[2]["raw"]["x"] == "\u2028"
    assert rows[2]["raw"]["choices"][0]["message"]["content"] == "c \ud83d"


def test_the_manifest_says_with_what_and_how_it_ended(ask, place):
    with StandIn() as server:
        server.facts["/api/v1/models"] = {"models": [{"key": "stand-in"}]}
        ask(server, concurrency=3)
    found = told(place)
    assert (found["status"], found["cause"], found["why"]) == ("OK", None, None)
    assert found["outcomes"] == {"answered": 20} and found["correct"] == 20
    assert found["settings"]["max_tokens"] == 1024
    assert found["server_before"]["/api/v1/models"] == server.facts["/api/v1/models"]
    assert found["server_after"]["/api/v1/models"] == server.facts["/api/v1/models"]
    assert found["packages"]["openai"] and found["python"]
    assert found["start"] <= found["sessions"][0]["start"] < found["end"]
    assert found["sessions"][0]["concurrency"] == 3
    assert found["sessions"][0]["requests"] == 20
    assert found["sessions"][0]["ended"] == "finished"
    assert len(found["questions"]) == 20 and found["questions"][0]["gold"] == ["c"]
    assert len(found["prompt_sha256"]) == len(found["condition_sha256"]) == 64
    assert "not-needed" not in json.dumps(found)


def test_a_run_holds_what_was_declared_when_it_began(ask, place, tmp_path):
    with StandIn() as server:
        ask(server, QUESTIONS[:1])
        assert told(place)["declared"] is None
        declare(tmp_path, question="Why?")
        ask(server, QUESTIONS[:2])
    assert told(place)["declared"] is None  # it had begun before
    (place / "answers.jsonl").unlink()
    found = read_declared(tmp_path)
    assert found.begun == 1
    with StandIn() as server:
        ask(server, QUESTIONS[:1])
        held = told(place)["declared"]
        assert held == {"sha256": found.digest, "at": found.at}
        (tmp_path / "study.yaml").unlink()
        declare(tmp_path, question="Why else?")
        ask(server, QUESTIONS[:2])
    assert told(place)["declared"] == held != read_declared(tmp_path).digest


def test_under_a_broken_declaration_nothing_is_asked(ask, place, tmp_path):
    (tmp_path / "study.yaml").write_text("marign: 0.05")
    with StandIn() as server, pytest.raises(IgakuError, match="did you mean margin"):
        ask(server)
    assert not server.asked


def test_the_settings_are_what_is_sent(ask):
    given = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "max_tokens": 77}
    with StandIn() as server:
        ask(server, QUESTIONS[:1], extra_body={"top_k": 0}, **given)
    sent = server.asked[0]
    assert {name: sent[name] for name in given} == given
    assert sent["top_k"] == 0 and sent["model"] == "stand-in"
    assert "質問1" in sent["messages"][-1]["content"]


def test_as_many_questions_are_under_way_as_wanted(ask):
    under_way, most, turn = [], [], threading.Lock()
    all_seven = threading.Event()

    def slow(asked, number):
        with turn:
            under_way.append(number)
            most.append(len(under_way))
        if len(under_way) >= 7:
            all_seven.set()
        assert all_seven.wait(30)
        time.sleep(0.02)
        with turn:
            under_way.remove(number)
        return Answer()

    with StandIn(slow) as server:
        ask(server, concurrency=7)
    assert max(most) == 7
    assert len(server.asked) == 20


# --- going on with a run --------------------------------------------------------------


def test_a_finished_run_sends_nothing(ask, place):
    with StandIn() as server:
        ask(server)
        before = {p.name: p.read_bytes() for p in place.iterdir()}
        sent, looked_up = len(server.asked), len(server.looked_up)
        ask(server)
        assert len(server.asked) == sent and len(server.looked_up) == looked_up
    assert {p.name: p.read_bytes() for p in place.iterdir()} == before
    ask(server)  # not even a server is needed


def test_only_what_is_missing_is_sent(ask, place):
    with StandIn() as server:
        ask(server)
        lines = (place / "answers.jsonl").read_bytes().splitlines(keepends=True)
        (place / "answers.jsonl").write_bytes(b"".join(lines[:5] + lines[9:]))
        ask(server)
    assert sorted(ids(answers(place))) == sorted(ids(vars(q) for q in QUESTIONS))
    assert server.questions.total() == 24
    assert len(told(place)["sessions"]) == 2
    assert told(place)["sessions"][1]["requests"] == 4


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_last_line_is_asked_again(kept, ask, place):
    with StandIn() as server:
        ask(server)
        path = place / "answers.jsonl"
        *lines, last = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines) + last[: kept if kept > 0 else -2])
        ask(server)
    assert len(server.asked) == 21
    assert sorted(ids(answers(place))) == sorted(ids(vars(q) for q in QUESTIONS))


def test_a_whole_last_line_only_lacks_its_newline(ask, place):
    with StandIn() as server:
        ask(server, QUESTIONS[:3])
        path = place / "answers.jsonl"
        path.write_bytes(path.read_bytes()[:-1])
        ask(server)
    assert set(server.questions.values()) == {1}
    assert sorted(ids(answers(place))) == sorted(ids(vars(q) for q in QUESTIONS))


def test_half_a_surrogate_pair_is_written_and_read_again(ask, place):
    body = b'{"choices": [{"message": {"content": "c \\ud83d"}}], "\\udc00": "\\ud83d"}'
    with StandIn(lambda asked, n: Answer(body=body)) as server:
        ask(server, QUESTIONS[:3])
        ask(server)
    assert set(server.questions.values()) == {1}
    rows = answers(place)
    assert len(rows) == 20 and rows[0]["raw"]["\udc00"] == "\ud83d"
    assert ids(read_rows(place / "answers.jsonl")) == ids(rows)
    folder.rewrite(place / "answers.jsonl", rows)
    assert answers(place) == rows


def test_a_run_killed_before_its_last_word_gets_it_without_a_server(ask, place):
    with StandIn() as server:
        ask(server)
    path = place / "manifest.json"
    path.write_text(json.dumps(told(place) | {"status": "INCOMPLETE", "end": None}))
    ask(server)
    assert told(place)["status"] == "OK" and told(place)["end"]


def test_a_run_may_grow_but_is_not_shrunk(ask, place):
    with StandIn() as server:
        ask(server, QUESTIONS[:6], limit=6)
        assert told(place)["status"] == "OK"
        ask(server, QUESTIONS)
        assert len(server.asked) == 20 and told(place)["status"] == "OK"
        ask(server, QUESTIONS[:6], limit=6)
    assert len(server.asked) == 20
    assert len(told(place)["questions"]) == 20


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("max_tokens", 4096, r"max_tokens \(1024, now 4096\)"),
        ("temperature", 1.0, r"temperature \(0.0, now 1.0\)"),
        ("reasoning_effort", "low", "reasoning_effort"),
        ("extra_body", {"top_k": 1}, "extra_body"),
        ("model", "stand-in-2", "model"),
        ("seed", 1, "seed"),
    ],
)
def test_other_settings_are_refused_with_the_two_ways_out(
    name, value, says, ask, place
):
    with StandIn() as server:
        ask(server, QUESTIONS[:3])
        before = (place / "answers.jsonl").read_bytes()
        with pytest.raises(IgakuError, match=says) as refused:
            ask(server, **{name: value})
    assert "another name, or delete" in str(refused.value)
    assert len(server.asked) == 3
    assert (place / "answers.jsonl").read_bytes() == before


def test_another_wording_is_refused(ask, place, tmp_path):
    words = (load_prompt().__dict__) | {"system": "別の指示"}
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(words, ensure_ascii=False))
    with StandIn() as server:
        ask(server, QUESTIONS[:2])
        with pytest.raises(IgakuError, match="the wording of the prompt"):
            ask(server, prompt=str(path))
        other = replace(QUESTIONS[0], text="別の質問")
        with pytest.raises(
            IgakuError, match="the wording of 1 questions, such as 116A1"
        ):
            ask(server, [other, *QUESTIONS[1:]])
    assert len(server.asked) == 2


def test_where_and_how_patiently_may_change(ask, place):
    with StandIn() as server:
        ask(server, QUESTIONS[:3])
    with StandIn() as server:
        ask(
            server,
            concurrency=4,
            timeout=9,
            stop_when_broken=False,
            card={"label": "x"},
        )
    assert len(answers(place)) == 20
    first, second = told(place)["sessions"]
    assert first["base_url"] != second["base_url"]
    assert second["timeout"] == 9 and told(place)["card"] == {"label": "x"}


def test_failures_alone_bind_a_run_to_nothing(ask, place):
    with StandIn(lambda asked, n: Answer(status=400, body={"error": "no"})) as server:
        with pytest.raises(IgakuError, match="in a row"):
            ask(server)
        server.behave = lambda asked, n: Answer()
        ask(server, max_tokens=99)
    assert len(answers(place)) == 20 and len(rows_in(place / "errors.jsonl")) == 5
    assert told(place)["settings"]["max_tokens"] == 99


def test_an_imported_run_is_not_added_to(ask, place):
    with StandIn() as server:
        ask(server, QUESTIONS[:3])
        (place / "manifest.json").write_text('{"origin": "recorded"}')
        with pytest.raises(IgakuError, match="it was imported"):
            ask(server)


def test_one_run_is_written_by_one_process(ask, place, tmp_path):
    place.mkdir()
    holder = (
        "import sys, time, pathlib; from igaku.ask.folder import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", holder, str(place)]
    with StandIn() as server:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT)
        try:
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(IgakuError, match=f"by process {process.pid}: wait"):
                ask(server)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        ask(server)
    assert len(server.asked) == 20


# --- retries --------------------------------------------------------------------------


def failing(times, **how):
    """A server that fails the first `times` requests."""
    return lambda asked, n: Answer(**how) if n <= times else Answer()


RUBBISH = (
    b"",
    b"\n",
    b"<html><body>Please sign in</body></html>",
    b'{"choices": [{"mess',
    b'{"choices": [{"message": {"content": "c\xff"}}]}',
    b'data: {"choices": [{"delta": {"content": "c"}}]}\n\n',
    b"[]",
    b"[1, 2]",
    b"7",
    b"null",
    b'"c"',
    b'{"a":' * 950 + b"1" + b"}" * 950,
)


@pytest.mark.parametrize(
    "how",
    [
        {"status": 500, "body": {"error": {"message": "The model has crashed"}}},
        {"status": 429, "body": {"error": "slow down"}},
        {"status": 503, "body": {"error": {"message": "Loading model"}}},
        {"status": 200, "body": {"error": "Failed to load model"}},
        {"hang_up": True},
        *({"body": body} for body in RUBBISH),
        {"status": 204, "body": b""},
    ],
)
def test_what_may_pass_is_asked_again(how, ask, place):
    with StandIn(failing(2, **how)) as server:
        ask(server, QUESTIONS[:2])
    assert [row["attempts"] for row in answers(place)] == [3, 1]
    assert {row["outcome"] for row in answers(place)} == {"answered"}


def test_retries_have_an_end(ask, place):
    def behave(asked, n):
        if "質問2\n" in asked["messages"][-1]["content"]:
            return Answer(status=500, body={"error": "no"})
        return Answer()

    with StandIn(behave) as server:
        ask(server, QUESTIONS[:3])
    rows = {row["problem_id"]: row for row in answers(place)}
    failed = rows.pop("116A2")
    assert failed["outcome"] == "api_error"
    assert [row["outcome"] for row in rows.values()] == ["answered"] * 2
    assert failed["attempts"] == asker.ATTEMPTS and failed["raw"] == {"error": "no"}
    assert failed["correct"] is None and failed["content"] is None
    assert server.questions.total() == 2 + asker.ATTEMPTS


def test_rubbish_for_half_of_all_requests_breaks_no_run(ask, place):
    rubbish = lambda n: Answer(body=RUBBISH[n % len(RUBBISH)])  # noqa: E731
    with StandIn(lambda asked, n: rubbish(n) if n % 2 else Answer()) as server:
        ask(server)
    assert {row["outcome"] for row in answers(place)} == {"answered"}
    assert told(place)["status"] == "OK"


def test_questions_that_fail_at_each_attempt_break_no_run_and_are_left(ask, place):
    places = {}

    def behave(asked, n):
        i = places.setdefault(asked["messages"][-1]["content"], len(places))
        return Answer(body=b"<html></html>") if i % 2 else Answer()

    with StandIn(behave) as server:
        ask(server)
        outcomes = Counter(row["outcome"] for row in answers(place))
        assert outcomes == {"api_error": 10, "answered": 10}
        assert {row["cause"] for row in answers(place)} == {None, "api"}
        assert str(status(load_run(place))) == told(place)["status"] == "INCOMPLETE"
        assert "10 questions are left" in told(place)["why"]
        server.behave = lambda asked, n: Answer()
        ask(server)
    assert told(place)["status"] == str(status(load_run(place))) == "OK"
    assert {row["outcome"] for row in answers(place)} == {"answered"}


def test_a_server_that_sends_nothing_but_rubbish_ends_the_run(ask, place):
    with (
        StandIn(lambda asked, n: Answer(body=b"<html></html>")) as server,
        pytest.raises(IgakuError, match="5 questions in a row failed.*<html>"),
    ):
        ask(server)
    assert told(place)["status"] == "INCOMPLETE"


@pytest.mark.parametrize("place_of_it", ["nowhere.invalid", "x" * 60 + ".invalid"])
def test_a_host_that_is_not_there_is_one_sentence_for_two_questions(
    place_of_it, ask, place
):
    server = SimpleNamespace(base_url=f"http://{place_of_it}:1234/v1")
    with pytest.raises(IgakuError, match="No server answers at .*invalid") as gone:
        ask(server, QUESTIONS[:2])
    assert "\n" not in str(gone.value)
    assert told(place)["status"] == "INCOMPLETE"


def test_a_server_that_sends_away_for_a_day_ends_the_sitting(ask, place):
    away = Answer(
        status=429, body={"error": "daily limit"}, headers={"Retry-After": "86400"}
    )
    with StandIn(lambda asked, n: away if n > 3 else Answer()) as server:
        with pytest.raises(IgakuError, match="for 1 day, 0:00:00 .daily limit") as sent:
            ask(server)
        assert re.search(r"run again after \d{4}-\d\d-\d\d \d\d:\d\d", str(sent.value))
        assert len(answers(place)) == 3 and len(server.asked) == 4
        server.behave = lambda asked, n: Answer()
        ask(server)
    assert len(answers(place)) == 20 and told(place)["status"] == "OK"


@pytest.mark.parametrize(
    ("hours", "said"), [(24, r"for (1 day, 0:00|23:59):\d\d"), (-24, None), (0, None)]
)
def test_a_wait_told_as_a_date_is_one_until_then(ask, place, hours, said):
    until = datetime.now(UTC) + timedelta(hours=hours)
    head = {"Retry-After": format_datetime(until, usegmt=True)}
    away = Answer(status=429, body={"error": "limit"}, headers=head)
    with StandIn(lambda asked, n: away if n == 1 else Answer()) as server:
        if said is None:  # it is over: the question is asked again at once
            ask(server, QUESTIONS[:1])
            assert answers(place)[0]["attempts"] == 2
        else:
            with pytest.raises(IgakuError, match=said):
                ask(server, QUESTIONS[:1])
            assert len(server.asked) == 1


def test_a_busy_server_is_given_more_patience(ask, place):
    busy = failing(asker.BUSY_ATTEMPTS - 1, status=503, body={"error": "busy"})
    with StandIn(busy) as server:
        ask(server, QUESTIONS[:1])
    assert answers(place)[0]["attempts"] == asker.BUSY_ATTEMPTS
    assert answers(place)[0]["outcome"] == "answered"


def test_a_reply_that_the_budget_cut_is_never_asked_again(ask, place):
    with StandIn(lambda asked, n: cut(asked)) as server:
        ask(server, QUESTIONS[:4])
    assert [row["outcome"] for row in answers(place)] == ["truncated"] * 4
    assert set(server.questions.values()) == {1}


@pytest.mark.parametrize(
    "how",
    [
        {"status": 400, "body": {"error": "bad param"}},
        {"status": 200, "body": {"error": "Unexpected endpoint"}},
        {"delay": 1.0},  # longer than the timeout: it would take as long again
    ],
)
def test_what_will_not_pass_is_not_asked_again(how, ask, place):
    with StandIn(failing(1, **how)) as server:
        ask(server, QUESTIONS[:2], timeout=0.3)
    assert [row["outcome"] for row in answers(place)] == ["api_error", "answered"]
    assert answers(place)[0]["attempts"] == 1


def test_failures_are_asked_again_by_the_next_run_and_kept_aside(ask, place):
    with StandIn(failing(1, status=400, body={"error": "no"})) as server:
        ask(server, QUESTIONS[:3])
        lost = [r["problem_id"] for r in answers(place) if r["outcome"] == "api_error"]
        assert len(lost) == 1
        ask(server, QUESTIONS[:3])
        ask(server, QUESTIONS[:3])
    assert sorted(ids(answers(place))) == ["116A1", "116A2", "116A3"]
    assert {row["outcome"] for row in answers(place)} == {"answered"}
    aside = rows_in(place / "errors.jsonl")
    assert ids(aside) == lost and aside[0]["error"]
    assert len(server.asked) == 4


# --- the order of asking --------------------------------------------------------------


def sent(server):
    """The questions' numbers in the order of sending, as `question` names them."""
    texts = (body["messages"][-1]["content"] for body in server.asked)
    return [re.search(r"質問(\w+)", text)[1] for text in texts]


def mixed(sizes):
    listed = [(s, n) for s, size in sizes.items() for n in range(1, size + 1)]
    return [replace(question(n, s), text=f"質問{s}{n}") for s, n in listed]


def test_any_twenty_first_questions_are_a_small_exam(shared):
    exam = load_exam(2022, data_dir=shared / "data/igakuqa")
    asked = plan.in_asking_order(exam, plan.ORDER)
    assert sorted(map(id, asked)) == sorted(map(id, exam))
    sizes = Counter(q.section for q in exam)
    for n in range(20, 401, 20):
        found = Counter(q.section for q in asked[:n])
        for section, size in sizes.items():
            assert abs(found[section] - n * size / 400) <= 1
    # Within a section by lot, so that its hard end is not the end of every run.
    assert [q.problem_id for q in asked if q.section == "A"][:3] != ids(
        map(vars, exam[:3])
    )


def test_the_same_questions_are_asked_in_the_same_order(ask, place):
    questions = mixed({"A": 9, "B": 3, "F": 6})
    with StandIn() as server, StandIn() as other:
        ask(server, questions)
        shutil.rmtree(place)
        ask(other, questions)
    assert sent(server) == sent(other) != [q.text[2:] for q in questions]
    assert told(place)["order"] == {"kind": "stratified", "seed": 0}
    # What is on record is no less in exam order.
    assert ids(told(place)["questions"]) == ids(map(vars, questions))
    assert load_run(place).rows["problem_id"].tolist() == ids(map(vars, questions))


def test_a_run_that_was_cut_goes_on_in_its_order(ask, place):
    questions = mixed({"A": 9, "B": 3, "F": 6})
    with StandIn() as server:
        ask(server, questions)
        whole = sent(server)
        keep_first(place, 7)
        ask(server, questions)
    assert sent(server)[18:] == whole[7:]


def test_a_folder_begun_in_exam_order_goes_on_in_it(ask, place):
    questions = mixed({"A": 9, "B": 3, "F": 6})
    with StandIn() as server:
        ask(server, questions)
        rows = {row["problem_id"]: row for row in answers(place)}
        begun = [rows[q.problem_id] for q in questions[:7]]
        folder.rewrite(place / "answers.jsonl", begun)
        before = told(place)
        del before["order"]  # as earlier versions wrote it
        folder.write_manifest(place, before)
        ask(server, questions)
    assert sent(server)[18:] == [q.text[2:] for q in questions[7:]]
    assert "order" not in told(place) and told(place)["status"] == "OK"


def keep_first(place, n):
    folder.rewrite(place / "answers.jsonl", answers(place)[:n])


# --- what ends a run ------------------------------------------------------------------


def test_a_dead_server_stops_the_run_which_goes_on_later(ask, place):
    dead = lambda asked, n: Answer(hang_up=n > 7)  # noqa: E731
    with StandIn(dead) as server:
        with pytest.raises(IgakuError, match="5 questions in a row failed") as stopped:
            ask(server)
        assert "\n" not in str(stopped.value) and server.base_url in str(stopped.value)
    assert len(answers(place)) == 12
    assert told(place)["status"] == "INCOMPLETE"
    assert told(place)["why"] == str(stopped.value)
    assert told(place)["sessions"][0]["ended"] == "stopped"
    with StandIn() as server:
        ask(server)
    assert len(server.asked) == 13 and len(answers(place)) == 20
    assert told(place)["status"] == "OK" and told(place)["why"] is None
    assert len(rows_in(place / "errors.jsonl")) == 5


def test_no_server_at_all_is_one_sentence(ask, place):
    with StandIn() as server:
        pass
    with pytest.raises(IgakuError, match="No server answers"):
        ask(server, concurrency=4)
    assert told(place)["status"] == "INCOMPLETE"


def test_another_model_stops_the_run_and_its_reply_is_not_counted(ask, place):
    other = lambda asked, n: Answer(model="other-model" if n == 3 else None)  # noqa: E731
    with StandIn(other) as server:
        with pytest.raises(
            IgakuError, match="answered as other-model, not as stand-in"
        ):
            ask(server)
        assert [row["outcome"] for row in answers(place)][-1] == "wrong_model"
        assert answers(place)[-1]["correct"] is None
        ask(server)
    assert len(answers(place)) == 20
    assert {row["outcome"] for row in answers(place)} == {"answered"}
    assert server.questions.total() == 21


def test_a_silent_server_costs_two_timeouts_and_no_more(ask, place):
    silent = lambda asked, n: Answer(delay=2.0 if n > 3 else 0)  # noqa: E731
    with StandIn(silent) as server:
        with pytest.raises(IgakuError, match="2 questions in a row failed") as stopped:
            ask(server, timeout=0.3)
        assert "raise `timeout`" in str(stopped.value)
        assert len(server.asked) == 5
    assert told(place)["status"] == "INCOMPLETE"


def test_a_late_reply_now_and_then_is_no_dead_server(ask, place):
    slow = lambda asked, n: Answer(delay=1.0 if n % 4 == 2 else 0)  # noqa: E731
    with StandIn(slow) as server:
        ask(server, QUESTIONS[:8], timeout=0.3)
    assert Counter(row["outcome"] for row in answers(place))["api_error"] == 2


def swapping(server, model, at):
    """The server lists another model from that request on, and goes on as before."""

    def behave(asked, number):
        server.models = [model] if number >= at else server.models
        return Answer()

    server.behave = behave
    return server


def test_a_model_swapped_during_the_run_is_told_after_it(ask, place):
    with StandIn() as server:
        swapping(server, "other-model", 12)
        says = "no longer lists stand-in, but other-model: every reply is kept"
        with pytest.raises(IgakuError, match=says) as alarm:
            ask(server)
        found = told(place)
        assert len(answers(place)) == 20 and found["status"] == "OK"
        assert found["why"] == found["sessions"][0]["why"] == str(alarm.value)
        assert found["sessions"][0]["ended"] == "finished"
        assert found["server_after"]["/v1/models"]["data"][0]["id"] == "other-model"
        ask(server)  # nothing is left to ask, and the manifest keeps the sentence
    assert told(place)["why"] == str(alarm.value)


@pytest.mark.parametrize("listed", [[], None, ["stand-in:2"], ["x", "stand-in"]])
def test_a_server_that_lists_nothing_or_the_model_raises_no_alarm(listed, ask, place):
    def behave(asked, number):
        server.models = listed
        return Answer()

    with StandIn(behave) as server:
        ask(server)
    assert (told(place)["status"], told(place)["why"]) == ("OK", None)


def test_the_last_look_at_the_server_is_short(ask, place, monkeypatch):
    monkeypatch.setattr("igaku.server.client.FACT_PATIENCE", 0.2)
    with StandIn() as server:

        def behave(asked, number):
            server.pause = 20.0
            return Answer()

        server.behave = behave
        began = time.monotonic()
        ask(server)
        assert time.monotonic() - began < 15.0
    assert told(place)["status"] == "OK" and told(place)["server_after"] == {}


def test_an_interrupt_loses_nothing(ask, place, tmp_path):
    script = (
        "import sys; from test_run import *\n"
        "settings = settings_from(model='stand-in', exam='calibration', shots=0,\n"
        "    base_url=sys.argv[1], outputs_dir=sys.argv[2], run='r', concurrency=2)\n"
        "run.run_exam(settings, QUESTIONS)"
    )
    with StandIn(lambda asked, n: Answer(delay=0.05)) as server:
        command = [sys.executable, "-c", script, server.base_url, str(tmp_path)]
        process = subprocess.Popen(
            command, cwd=Path(__file__).parent, stderr=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": IMPORTED},
        )  # fmt: skip
        while len(server.asked) < 6:
            assert process.poll() is None
        process.send_signal(2)
        errors = process.communicate(timeout=30)[1]
        assert b"KeyboardInterrupt" in errors
        kept = answers(place)
        assert 3 <= len(kept) < 20
        assert told(place)["sessions"][0]["ended"] == "interrupted"
        assert told(place)["status"] == "INCOMPLETE"
        server.behave = lambda asked, n: Answer()
        ask(server)
    assert sorted(ids(answers(place))) == sorted(ids(vars(q) for q in QUESTIONS))
    assert answers(place)[: len(kept)] == kept


def test_a_full_disk_is_one_sentence(ask):
    journal = folder.Journal(folder.Path("/dev/full"))
    with pytest.raises(
        IgakuError, match="/dev/full cannot be written .the disk is full.: make room"
    ):
        journal.append({"problem_id": "116A1"})
    assert journal.append({"problem_id": "116A2"}) is False


def test_an_error_of_our_own_is_raised_and_not_counted(ask, place, monkeypatch):
    monkeypatch.setattr(asker, "outcome_of", lambda *_: 1 / 0)
    with StandIn() as server, pytest.raises(ZeroDivisionError):
        ask(server)
    assert answers(place) == []
    assert told(place)["sessions"][0]["ended"] == "failed"


# --- early stop -----------------------------------------------------------------------


def recorded(shared, stem):
    """The outcomes of a recorded run, in the order in which they came."""
    found = []
    for section in "ABCDEF":
        path = shared / "data" / "recorded" / f"gpt-oss-20b-{stem}_2022_{section}.json"
        if path.is_file():
            for row in json.loads(path.read_bytes())["details"]["baseline"]:
                lost = "api_error" if "error" in row else "truncated"
                found.append(
                    lost if not row.get("response", "").strip() else "answered"
                )
    return found


def alarm(outcomes):
    """After how many replies the rule speaks, None for never."""
    for n in range(1, len(outcomes) + 1):
        if health.is_broken(Counter(outcomes[:n])):
            return n
    return None


@pytest.mark.parametrize("stem", ["mlx-q4", "inferenceill", "safeguard"])
def test_the_rule_fires_within_20_questions_on_each_broken_run(stem, shared):
    assert 10 <= alarm(recorded(shared, stem)) <= 20


@pytest.mark.parametrize("stem", ["gguf", "openai-mxfp4-gguf", "mlx-community"])
def test_the_rule_never_fires_on_a_good_run(stem, shared):
    outcomes = recorded(shared, stem)
    assert len(outcomes) == 400 and alarm(outcomes) is None


def test_the_rule_is_one_look_at_20_and_evidence_at_any_time():
    from scipy.integrate import quad

    def averaged(k, n):
        """The likelihood ratio averaged over all larger shares, by quadrature."""
        ratio = lambda s: (s / 0.2) ** k * ((1 - s) / 0.8) ** (n - k)  # noqa: E731
        return quad(ratio, 0.2, 1)[0] / 0.8

    for n, k in [(10, 7), (15, 8), (20, 9), (75, 20), (75, 40)]:
        assert health.evidence(k, n) == pytest.approx(averaged(k, n), rel=1e-6)
        counted = {"truncated": k, "answered": n - k}
        assert health.is_broken(counted) == (averaged(k, n) >= health.EVIDENCE)
    assert health.is_broken({"truncated": 10, "answered": 10})
    assert not health.is_broken({"truncated": 10, "answered": 11})
    assert not health.is_broken({"truncated": 9})


def test_what_nobody_can_read_is_lost_and_what_declines_is_not():
    assert health.is_broken({"unparsable": 300, "answered": 100})
    assert health.cause({"unparsable": 300, "truncated": 3}) == "output"
    assert not health.is_broken({"refused": 300, "answered": 100})


def test_ten_thousand_replies_overflow_nothing():
    assert health.is_broken({"truncated": 3_000, "answered": 7_000})
    assert not health.is_broken({"truncated": 2_000, "answered": 8_000})
    assert 0.2 < health.lower_limit(3_000, 10_000) < 0.3


@pytest.mark.parametrize(("k", "n"), [(10, 10), (10, 20), (113, 400)])
def test_where_the_rule_stops_the_limit_is_above_20_per_cent(k, n):
    assert health.is_broken({"truncated": k, "answered": n - k})
    assert health.lower_limit(k, n) >= 0.2 - 1e-6


def test_a_stop_holds_though_replies_under_way_come_in_after_it():
    outcomes = ["truncated", "answered"] * 10 + ["answered"] * 3
    assert health.stops(outcomes) and not health.is_broken(Counter(outcomes))


def test_the_rule_rarely_stops_a_run_that_is_worth_finishing():
    assert stopped([0.20] * 400)[400] == pytest.approx(0.0048, abs=0.0003)
    assert stopped([0.15] * 400)[400] == pytest.approx(0.0004, abs=0.0001)
    said = " ".join(health.is_broken.__doc__.split())
    assert "20 % in 0.5 % of cases, and in 0.04 % where it is 15 %" in said
    assert "stopped by question 20 in 60 % of cases" in said
    assert stopped([0.50] * 400)[20] == pytest.approx(0.60, abs=0.01)
    assert stopped([0.75] * 400)[20] == pytest.approx(0.996, abs=0.001)
    assert stopped([0.40] * 400)[75] > 0.7


def test_a_section_that_loses_more_than_the_rest_stops_no_run_worth_finishing():
    """One question in ten is lost, and one in five, three or two of section A."""
    rule = stopped([0.10] * 400)[400]
    for in_a in (0.20, 0.30, 0.40):
        assert stopped(shares_of(asked_order(), 0.10, in_a))[400] <= rule + 1e-6
    # In exam order, where section A comes first, it did.
    assert stopped(shares_of(exam_order(), 0.10, 0.30))[400] > 0.1


def rescued(asked, n):
    """A model whose reasoning needs more than 1,024 tokens."""
    return cut(asked) if asked["max_tokens"] <= 1024 else Answer(completion_tokens=3000)


def test_a_run_of_lost_replies_stops_and_is_probed(ask, place):
    with StandIn(rescued) as server:
        ask(server)
        assert len(answers(place)) == 10
        sent = len(server.asked)
        assert sent == 15
        assert [body["max_tokens"] for body in server.asked[10:]] == [4096] * 5
        ask(server)
        assert len(server.asked) == sent
    found = told(place)
    assert (found["status"], found["cause"]) == ("BROKEN", "budget")
    assert found["early_stop"]["lost"] == found["early_stop"]["asked"] == 10
    assert found["early_stop"]["lower_limit"] > 0.2
    assert found["early_stop"]["probe"] == {
        "max_tokens": 4096,
        "asked": 5,
        "correct": 5,
        "outcomes": {"answered": 5},
    }
    probed = rows_in(place / "probe.jsonl")
    assert ids(probed) == ids(answers(place))[:5]
    assert list(probed[0]) == KEYS


def test_a_probe_that_was_cut_short_is_finished(ask, place):
    with StandIn(rescued) as server:
        ask(server)
        lines = (place / "probe.jsonl").read_bytes().splitlines(keepends=True)
        (place / "probe.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:50])
        ask(server)
    assert len(server.asked) == 18
    assert len(set(ids(rows_in(place / "probe.jsonl")))) == 5


EMPTY = Answer(content="", reasoning="", completion_tokens=3)
FAILED = Answer(status=400, body={"error": "no"})


def test_empty_replies_are_probed_and_may_stay_empty(ask, place):
    with StandIn(lambda asked, n: EMPTY if n % 3 else Answer()) as server:
        ask(server)
    found = told(place)
    assert (found["status"], found["cause"]) == ("BROKEN", "output")
    assert len(answers(place)) < 20
    assert {body["max_tokens"] for body in server.asked[-5:]} == {4096}
    probe = found["early_stop"]["probe"]
    assert probe["asked"] == 5 and probe["outcomes"]["empty"] >= 3


def test_empty_replies_that_a_larger_budget_rescues_were_the_budgets(ask, place):
    def behave(asked, n):
        return EMPTY if asked["max_tokens"] <= 1024 else Answer()

    with StandIn(behave) as server:
        ask(server)
    assert (told(place)["status"], told(place)["cause"]) == ("BROKEN", "budget")
    assert told(place)["outcomes"] == {"empty": 10}
    assert told(place)["early_stop"]["probe"]["outcomes"] == {"answered": 5}


def test_a_probe_asks_truncated_and_empty_questions_in_turn(ask, place):
    def behave(asked, n):
        return EMPTY if n in (7, 8, 9) else cut(asked)

    with StandIn(behave) as server:
        ask(server)
    probed, asked = ids(rows_in(place / "probe.jsonl")), ids(answers(place))
    assert probed == [asked[i] for i in (0, 6, 1, 7, 2)]
    assert told(place)["cause"] == "budget"


def test_a_failure_ends_the_probe_for_good(ask, place):
    with StandIn(lambda asked, n: FAILED if n % 3 else Answer()) as server:
        ask(server)
        found = told(place)
        assert (found["status"], found["cause"]) == ("BROKEN", "api")
        assert 1 <= found["early_stop"]["probe"]["asked"] < 5
        sent = len(server.asked)
    assert server.asked[-1]["max_tokens"] == 4096
    assert sent == len(answers(place)) + found["early_stop"]["probe"]["asked"]


def test_a_failed_probe_is_forgotten_once_its_question_is_answered(ask, place):
    with StandIn(lambda asked, n: FAILED if n % 3 else Answer()) as server:
        ask(server)
        before = len(rows_in(place / "probe.jsonl"))
        failed = ids(rows_in(place / "probe.jsonl"))
        lost = [q for q in QUESTIONS if q.problem_id not in failed]

        def behave(asked, n):
            words = asked["messages"][-1]["content"]
            is_lost = any(f"{q.text}\n" in words for q in lost)
            return cut(asked) if is_lost and asked["max_tokens"] == 1024 else Answer()

        server.behave = behave
        ask(server)
    assert told(place)["cause"] == "budget"
    assert len(rows_in(place / "probe.jsonl")) > before


def test_a_budget_that_the_context_cannot_hold_is_probed_once(ask, place):
    with StandIn(lambda a, n: cut(a) if a["max_tokens"] <= 1024 else FAILED) as server:
        ask(server)
        assert len(server.asked) == 11
        ask(server)
        assert len(server.asked) == 11
    assert told(place)["cause"] == "budget"


def test_a_dead_server_is_not_probed(ask, place):
    with (
        StandIn(lambda asked, n: cut(asked) if n <= 5 else FAILED) as server,
        pytest.raises(IgakuError, match="5 questions in a row failed"),
    ):
        ask(server)
    assert not (place / "probe.jsonl").exists()


def test_another_model_in_the_probe_is_refused_and_asked_again(ask, place):
    def behave(asked, n):
        if asked["max_tokens"] <= 1024:
            return cut(asked)
        return Answer(model="other-model" if n == 12 else None)

    with StandIn(behave) as server:
        with pytest.raises(IgakuError, match="answered as other-model"):
            ask(server)
        assert told(place)["status"] == "BROKEN"
        ask(server)
    assert told(place)["early_stop"]["probe"]["outcomes"] == {"answered": 5}
    assert len(rows_in(place / "probe.jsonl")) == 5


def test_a_run_that_its_server_broke_goes_on_when_that_is_mended(ask, place):
    broken = Answer(status=400, body={"error": "no"})
    with StandIn(lambda asked, n: broken if n % 3 else Answer()) as server:
        ask(server)
        server.behave = lambda asked, n: Answer()
        ask(server)
    assert told(place)["status"] == "OK"
    assert sorted(ids(answers(place))) == sorted(ids(vars(q) for q in QUESTIONS))


def test_the_early_stop_can_be_switched_off(ask, place):
    with StandIn(rescued) as server:
        ask(server, stop_when_broken=False)
    assert len(answers(place)) == len(server.asked) == 20
    assert not (place / "probe.jsonl").exists()
    assert told(place)["early_stop"] is None
    assert (told(place)["status"], told(place)["cause"]) == ("BROKEN", "budget")


# --- the check ------------------------------------------------------------------------


@pytest.fixture
def check(tmp_path):
    def checked(server, **given):
        given = {"model": "stand-in", "exam": "calibration", "shots": 0} | given
        settings = settings_from(
            base_url=server.base_url, outputs_dir=tmp_path, run="r", **given
        )
        return preflight.check(settings, QUESTIONS)

    return checked


def test_a_good_server_passes_the_check(check, place):
    with StandIn() as server:
        loaded = {"id": "stand-in", "config": {"context_length": 4096}}
        listed = {"key": "stand-in", "loaded_instances": [loaded]}
        server.facts["/api/v1/models"] = {"models": [listed]}
        found = check(server)
    assert found["served_model"] == "stand-in"
    assert len(server.asked) == 1 and server.asked[0]["max_tokens"] <= 64
    assert not place.exists()
    told = preflight.check_frame(found).set_index("what")["found"]
    assert told["weights"] == "unverified" and "igaku card" in told["why"]
    assert told[["context_length", "needed"]].to_list() == [4096, 1124]


@pytest.mark.parametrize(
    ("behave", "says"),
    [
        (Answer(model="other"), "answered as other, not as stand-in: load"),
        (Answer(content=None, reasoning=""), "neither text nor reasoning"),
        (Answer(status=400, body={"error": "no such thing"}), "no such thing"),
        (Answer(body={"error": "Unexpected endpoint"}), "Unexpected endpoint"),
        (Answer(prompt_tokens=4000), "need 5,024: load it with a longer context"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_fix(behave, says, check):
    with StandIn(lambda asked, n: behave) as server:
        server.facts["/props"] = {"default_generation_settings": {"n_ctx": 4096}}
        with pytest.raises(IgakuError, match=says) as failed:
            check(server)
    assert "\n" not in str(failed.value)


def test_a_reply_that_only_thinks_passes_the_check(check):
    with StandIn(lambda asked, n: cut(asked)) as server:
        assert check(server)["said"] == "reasoning: hm"


def test_a_missing_model_is_found_without_asking(check):
    says = "has no model stand-in, but a, b: load"
    with StandIn(models=["a", "b"]) as server, pytest.raises(IgakuError, match=says):
        check(server)
    assert server.asked == []


def test_a_missing_server_is_found_in_seconds(check):
    with StandIn() as server:
        pass
    with pytest.raises(IgakuError, match=r"No server answers at .*: start it"):
        check(server)


@pytest.mark.parametrize("given", [{}, {"timeout": 0.2}])
def test_a_server_that_never_answers_fails_the_check_in_time(given, check, monkeypatch):
    monkeypatch.setattr(preflight, "PATIENCE", 0.4)
    with StandIn(lambda asked, n: Answer(delay=2.0)) as server:
        seconds = given.get("timeout", 0.4)
        says = f"sent no reply within {seconds} s: see that stand-in is loaded"
        began = time.monotonic()
        with pytest.raises(IgakuError, match=says) as failed:
            check(server, **given)
    assert time.monotonic() - began < 3
    assert "\n" not in str(failed.value) and len(server.asked) == 1


def test_a_server_has_two_minutes_for_the_check():
    assert preflight.PATIENCE == 120


def test_a_finished_run_is_not_checked(ask, check, place):
    with StandIn() as server:
        ask(server)
        sent, looked_up = len(server.asked), len(server.looked_up)
        found = check(server)
        told = preflight.check_frame(found)
        assert told.to_numpy().tolist() == [["run", "finished"]]
        assert "nothing is left to ask" in words.printed(told).to_html()
        assert (len(server.asked), len(server.looked_up)) == (sent, looked_up)


def test_a_check_does_not_call_finished_what_asking_would_refuse(ask, check):
    with StandIn() as server:
        ask(server)
        with pytest.raises(IgakuError, match=r"other settings: max_tokens \(1024, now"):
            check(server, max_tokens=77)


def test_an_embedded_model_must_be_served(tmp_path):
    settings = settings_from(model="lab-mlx-8bit", outputs_dir=tmp_path)
    with pytest.raises(IgakuError, match="server_of"):
        preflight.check(settings, QUESTIONS)


# --- the server of a run --------------------------------------------------------------


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """An embedded model whose server is a stand-in, and how often it was started."""
    from igaku.lab import serve, variants

    started = []

    @contextmanager
    def serving(slug):
        with StandIn(models=None) as server:
            started.append(server)
            yield SimpleNamespace(base_url=server.base_url, folder=tmp_path)

    monkeypatch.setattr(serve, "serving", serving)
    about = {"size_bytes": 9, "bits_per_weight": 4.5, "tensor_bytes": 8}
    monkeypatch.setattr(variants, "model_card", lambda folder: about)
    told = {"reasoning_effort": "low", "outputs_dir": tmp_path}
    return settings_from(model="lab-mlx-8bit", **told), started


def test_the_lab_is_served_for_one_run_and_only_when_there_is_work(lab, tmp_path):
    settings, started = lab
    for _ in range(2):
        with run.server_of(settings) as server:
            server.check(QUESTIONS)
            place = server.run_exam(QUESTIONS, progress=False)
    # One trial reply, one question at two efforts (no effect shown), the exam.
    assert len(started) == 1 and len(started[0].asked) == 1 + 2 + 20
    found = told(place)
    assert (found["status"], found["origin"]) == ("OK", "lab")
    assert (found["card"]["size_bytes"], found["card"]["bits_per_weight"]) == (9, 4.5)


def test_a_server_elsewhere_is_used_as_it_is(tmp_path):
    with StandIn() as stand_in:
        settings = settings_from(
            model="stand-in",
            exam="calibration",
            shots=0,
            outputs_dir=tmp_path,
            base_url=stand_in.base_url,
        )
        with run.server_of(settings) as server:
            assert server.check(QUESTIONS)["asked"]
            assert len(answers(server.run_exam(QUESTIONS, progress=False))) == 20


def test_the_settings_choose_the_questions():
    chosen = run.questions_of(
        settings_from(model="x", exam="calibration", sections="BD", limit=10)
    )
    assert Counter(q.section for q in chosen) == {"B": 5, "D": 5}


# --- small things ---------------------------------------------------------------------


def test_the_bar_is_plain_text_on_stdout(ask, place, tmp_path, capsys):
    settings = settings_from(
        model="stand-in", exam="calibration", shots=0, outputs_dir=tmp_path, run="r"
    )
    with StandIn() as server:
        run.run_exam(replace(settings, base_url=server.base_url), QUESTIONS)
    printed = capsys.readouterr()
    assert "20/20" in printed.out and "right 20, lost 0" in printed.out
    assert printed.out.count("\r") < 5 and printed.err == ""


def test_waits_grow_to_a_limit(monkeypatch):
    monkeypatch.setattr(asker, "BACKOFF", 1.0)
    monkeypatch.setattr(asker, "_jitter", lambda: 1.0)
    failed = asker.Reply(error="x")
    waits = [asker._pause(failed, number) for number in range(1, 8)]
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_server_that_names_its_wait_gets_it():
    assert asker._pause(asker.Reply(retry_after=7.0), 1) == 7.0
    endless = asker.Reply(retry_after=1e9)
    assert asker._pause(endless, 1) == asker.LONGEST_RETRY_AFTER
