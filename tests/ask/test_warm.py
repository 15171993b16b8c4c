"""The first questions of a sitting asked again at its end: cold against warm."""

import json
import re

import pytest
from stand_in import Answer, StandIn

import igaku
from igaku.ask import asker, run
from igaku.errors import WrongModel
from igaku.exam.questions import Question
from igaku.lab.engines import missing_engine
from igaku.lab.serve import serving
from igaku.params.settings import settings_from


def question(number):
    row = {"problem_id": f"116A{number}", "problem_text": f"質問{number}号"}
    row |= {"choices": list("アイウエオ"), "answer": ["c"], "points": "1"}
    return Question.from_record(row)


QUESTIONS = [question(number) for number in range(1, 101)]


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Ask questions at a server; the folder of the run."""
    monkeypatch.setattr(asker, "BACKOFF", 0.001)

    def asked(server, n=100, **given):
        given = {"model": "stand-in", "exam": "calibration", "shots": 0} | given
        settings = settings_from(
            base_url=server.base_url, outputs_dir=tmp_path, run="r", **given
        )
        return run.run_exam(settings, QUESTIONS[:n], progress=False)

    return asked


def told(place):
    return json.loads((place / "manifest.json").read_bytes())


def warm(place):
    return [session["warm"] for session in told(place)["sessions"]]


def lines(place, name="warm.jsonl"):
    path = place / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def thought(asked):
    (about,) = re.findall(r"質問\d+号", asked["messages"][-1]["content"])
    return f"It is about {about}, so let me see what is known of that. " * 3


def turned(at, words):
    """A server that from its `at`-th request on thinks otherwise than it should."""
    thoughts = []

    def behave(asked, number):
        thoughts.append(thought(asked))
        return Answer(reasoning=words(thoughts) if number >= at else thoughts[-1])

    return behave


@pytest.mark.parametrize(("n", "again"), [(29, 0), (30, 1), (60, 2), (100, 3)])
def test_one_of_thirty_is_asked_again_and_three_at_most(ask, n, again):
    with StandIn(lambda asked, _: Answer(reasoning=thought(asked))) as server:
        place = ask(server, n)
    assert len(server.asked) == n + again
    assert told(place)["sessions"][0]["requests"] == n + again
    first = [row["problem_id"] for row in lines(place, "answers.jsonl")[:again]]
    assert [row["problem_id"] for row in lines(place)] == first
    assert [(w["problem_id"], w["same"]) for w in warm(place)[0]] == [
        (name, True) for name in first
    ]
    found = told(place)
    assert (found["status"], found["outcomes"]) == ("OK", {"answered": n})
    kinds = {"other_when_warm", "anothers_reply", "repeated_texts", "repeated_ids"}
    assert not kinds & set(igaku.audit(place.parent)["kind"])


def test_a_reply_that_changes_is_a_note_that_says_where(ask):
    with StandIn(turned(101, lambda _: "It is about nothing.")) as server:
        place = ask(server)
    found = igaku.audit(place.parent).set_index("kind").loc["other_when_warm"]
    assert not found["grave"]
    first = warm(place)[0][0]
    assert first | {"same": False, "where": "reasoning", "of": []} == first
    assert f"{first['problem_id']}: the thought parts after {first['at']}" in " ".join(
        found["text"].split()
    )
    assert told(place)["correct"] == 100  # what was replied first counts


def test_the_words_of_another_question_are_an_alarm_that_names_both(ask):
    with StandIn(turned(101, lambda thoughts: thoughts[49])) as server:
        place = ask(server)
    owner = lines(place, "answers.jsonl")[49]["problem_id"]
    found = igaku.audit(place.parent).set_index("kind").loc["anothers_reply"]
    assert found["grave"] and owner in found["text"]
    assert all(each["of"] == [owner] for each in warm(place)[0])
    assert warm(place)[0][0]["problem_id"] in found["text"]


def test_the_words_of_an_earlier_sitting_are_found_too(ask):
    with StandIn(turned(102, lambda thoughts: thoughts[4])) as server:
        ask(server, 40)
        place = ask(server)
    owner = lines(place, "answers.jsonl")[4]["problem_id"]
    assert [each["of"] for each in warm(place)[1]] == [[owner]] * 2


def test_letters_alone_are_nobodys_words(ask):
    with StandIn(lambda asked, n: Answer("b" if n > 100 else "c", "")) as server:
        place = ask(server)
    (found,) = warm(place)
    assert all((w["where"], w["at"], w["of"]) == ("content", 0, []) for w in found)


def test_above_temperature_0_a_second_reply_proves_nothing(ask):
    with StandIn() as server:
        place = ask(server, temperature=0.5)
    assert len(server.asked) == 100 and warm(place) == [[]]


def test_each_sitting_asks_its_own_first_questions_once(ask):
    with StandIn() as server:
        ask(server, 40)
        place = ask(server)
        ask(server)
    rows = [row["problem_id"] for row in lines(place, "answers.jsonl")]
    names = [[each["problem_id"] for each in sitting] for sitting in warm(place)]
    assert names == [rows[:1], rows[40:42]]
    assert [row["problem_id"] for row in lines(place)] == names[0] + names[1]
    assert len(server.asked) == 103


def test_a_run_that_was_stopped_for_its_losses_is_not_asked_again(ask):
    with StandIn(lambda asked, n: Answer("c" if n <= 30 else "", "")) as server:
        place = ask(server)
    assert told(place)["status"] == "BROKEN" and warm(place) == [[]]
    assert not lines(place)


def test_a_server_that_fails_then_spoils_no_run(ask):
    gone = Answer(status=400, body={"error": "out of order"})
    with StandIn(lambda asked, n: gone if n > 101 else Answer()) as server:
        place = ask(server)
    found = told(place)
    assert (found["status"], found["why"], len(warm(place)[0])) == ("OK", None, 1)
    assert [row["outcome"] for row in lines(place)] == ["answered", "api_error"]


def test_another_model_that_answers_then_is_told(ask, tmp_path):
    other = StandIn(lambda asked, n: Answer(model="other" if n > 100 else None))
    with other as server, pytest.raises(WrongModel, match="answered as other"):
        ask(server)
    assert len(lines(tmp_path / "r", "answers.jsonl")) == 100


def test_llama_cpp_that_computes_anew_replies_warm_as_it_did_cold(shared, tmp_path):
    if reason := missing_engine("lab-gguf-mxfp4"):
        pytest.skip(f"lab-gguf-mxfp4 cannot be served here: {reason}")
    with serving("lab-gguf-mxfp4") as server:
        settings = settings_from(
            model="lab-gguf-mxfp4", base_url=server.base_url, limit=60, run="r",
            outputs_dir=tmp_path, data_dir=shared / "data/igakuqa", exam=2022,
        )  # fmt: skip
        place = run.run_exam(settings, run.questions_of(settings), progress=False)
    assert [each["same"] for each in warm(place)[0]] == [True, True]
    assert {row["cached_tokens"] for row in lines(place)} == {0}
