"""Whole runs on a stand-in of LM Studio: loaded, proven, crashed, unloaded."""

import json

import pytest
from lm_studio import CRASH, TOO_BIG, Fault, LMStudio
from stand_in import StandIn

import igaku
from igaku.ask import run
from igaku.ask.folder import ANSWERS
from igaku.ask.rows import read_rows
from igaku.ask.shape import read_manifest
from igaku.errors import EngineCrashed, IgakuError, NotLoaded, WrongModel
from igaku.params.settings import settings_from
from igaku.study.runs import load_run

EIGHT, GGUF = "openai/gpt-oss-20b@8bit", "openai/gpt-oss-20b@mxfp4"
Q8 = "mlx-community/gpt-oss-20b-mxfp4-q8"
N = 12


@pytest.fixture(autouse=True)
def no_program(tmp_path, monkeypatch):
    """No `lms` of this machine is asked, and no time is lost between attempts."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("igaku.ask.asker.BACKOFF", 0.01)
    monkeypatch.setattr("igaku.ask.run.RELOAD_PAUSE", 0.0)


@pytest.fixture
def sit(tmp_path):
    """Check and ask as the notebook does; the settings of the run."""

    def sit(server, slug="openai-8bit", **given):
        settings = settings_from(
            **{"model": slug, "exam": "calibration", "shots": 0, "limit": N}
            | {"base_url": server.base_url, "outputs_dir": tmp_path / "outputs"}
            | {"run": "r", "load": True}
            | given
        )
        questions = run.questions_of(settings)
        with run.server_of(settings) as served:
            served.check(questions)
            return served.run_exam(questions, progress=False)

    return sit


@pytest.fixture
def place(tmp_path):
    return tmp_path / "outputs" / "r"


def test_a_model_is_loaded_proven_asked_and_unloaded(sit, place):
    with LMStudio() as server:
        sit(server)
        assert [name for name, _ in server.loads] == [EIGHT]
        assert server.loads[0][1]["context_length"] == 4096 + 4 * 1024
        assert server.loaded == []
        paths = {path for path, _ in server.asked}
        assert paths == {"/api/v0/chat/completions"}
        last = server.asked[-1][1]
        assert (last["top_k"], last["min_p"], last["repeat_penalty"]) == (0, 0.0, 1.0)
    found = read_manifest(place)
    assert (found["status"], found["identity"]["status"]) == ("OK", "verified")
    agreed = {c["what"] for c in found["identity"]["checks"] if c["agrees"]}
    assert agreed == {"name", "variant", "format", "quantization", "size"}
    assert found["identity"]["fingerprint"]["runtime"].startswith("mlx")
    assert found["sampling"]["otherwise"]["repeat_penalty"] == 1.1
    assert found["server_after"]["/api/v1/models"]["models"]
    rows = read_rows(place / ANSWERS, ("raw",))
    assert all(row["raw"]["model_info"]["quant"] == "8bit" for row in rows)


def test_a_finished_run_loads_nothing(sit):
    with LMStudio() as server:
        sit(server)
        asked, loads = len(server.asked), len(server.loads)
        sit(server)
        assert (len(server.asked), len(server.loads)) == (asked, loads)


def test_a_crash_in_the_middle_is_loaded_again_and_gone_on_with(sit, place):
    with LMStudio(faults={EIGHT: Fault(crashes_after=12)}) as server:
        sit(server)
        assert len(server.loads) == 2
        assert server.loaded == []
    found = read_manifest(place)
    assert found["status"] == "OK"
    assert [s["ended"] for s in found["sessions"]] == ["stopped", "finished"]
    assert "crashed at 900" in found["sessions"][0]["why"]
    assert "Channel Error" in found["sessions"][0]["why"]
    assert len({row["problem_id"] for row in read_rows(place / ANSWERS)}) == N


def test_an_engine_that_crashes_again_and_again_is_given_up(sit, place):
    with LMStudio(faults={EIGHT: Fault(crashes_after=8, crashes=9)}) as server:
        with pytest.raises(EngineCrashed, match="Channel Error"):
            sit(server, limit=60)
        assert len(server.loads) == 3
        assert server.loaded == []
    assert read_manifest(place)["status"] == "INCOMPLETE"
    kept = [r for r in read_rows(place / ANSWERS) if r["outcome"] != "api_error"]
    assert len(kept) > 8


def test_other_weights_are_refused_before_a_question(sit, place):
    """What happened to rows 1 and 2 of the seed."""
    with LMStudio(faults={GGUF: Fault(loads=EIGHT)}) as server:
        with pytest.raises(WrongModel, match="format mlx, not GGUF"):
            sit(server, "openai-mxfp4-gguf")
        assert (server.asked, server.loaded) == ([], [])
    assert not (place / ANSWERS).exists()


def test_weights_that_change_in_the_middle_end_the_run(sit, place):
    with LMStudio() as server:

        def answer(asked, number):
            if number == 9:  # as when somebody chats with another model meanwhile
                held = server.instances[0]
                held.weights = next(w for w in server.catalogue if w.name == GGUF)
            return "c"

        server.answer = answer
        with pytest.raises(WrongModel, match="does not serve the weights"):
            sit(server)
    assert load_run(place).identity == "wrong_model"
    found = read_manifest(place)
    assert (found["status"], found["sessions"][0]["ended"]) == ("INCOMPLETE", "stopped")
    *kept, last = read_rows(place / ANSWERS, ("raw", "error", "content"))
    assert last["outcome"] == "wrong_model" and last["correct"] is None
    assert "format gguf" in last["error"]
    assert kept and all(row["outcome"] == "answered" for row in kept)
    with LMStudio() as server:  # what was not its own reply is asked again
        sit(server)
    assert load_run(place).identity == "verified"
    assert len(read_rows(place / ANSWERS)) == N


def test_a_run_of_other_weights_is_not_gone_on_with(sit, place):
    """The right model afterwards makes the replies of the wrong one no better."""
    with LMStudio() as server:
        told = server.told

        def swapped(door, body, key):
            # A trial reply, six at two efforts, the exam: the last look is to come.
            if door.startswith("GET") and len(server.asked) == 1 + 6 + N:
                held = server.instances[0]
                held.weights = next(w for w in server.catalogue if w.name == GGUF)
            return told(door, body, key)

        server.told = swapped
        with pytest.raises(WrongModel):
            sit(server)
    found = read_manifest(place)
    assert (found["status"], found["identity"]["status"]) == ("OK", "wrong_model")
    with LMStudio() as server, pytest.raises(WrongModel):
        sit(server, limit=N + 6)
    assert read_manifest(place)["identity"] == found["identity"]


def test_a_silent_server_leaves_its_mark_on_the_whole_run(sit, place):
    with StandIn(models=None) as silent:
        sit(silent, load=False)
    with LMStudio() as server:
        sit(server, limit=2 * N)
    found = read_manifest(place)
    assert found["identity"]["status"] == "unverified"
    assert len(read_rows(place / ANSWERS)) == 2 * N
    # The effort is tried on each server.
    assert found["effort"]["base_url"] == server.base_url
    assert (found["effort"]["told_by"], found["effort"]["shown"]) == ("system", False)


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_crash_before_the_first_question_is_loaded_again_too(sit, place, after):
    """In the trial reply, or while two questions are asked at two efforts."""
    with LMStudio(faults={EIGHT: Fault(crashes_after=after)}) as server:
        sit(server)
        assert len(server.loads) == 2
    found = read_manifest(place)
    assert (found["status"], found["effort"]["shown"]) == ("OK", True)


def test_what_is_on_record_as_sent_is_what_was_sent(sit, place):
    with LMStudio() as server:
        sit(server)
        last = server.asked[-1][1]
    found = read_manifest(place)
    del last["messages"]
    assert found["sampling"]["sent"] == last
    assert "reasoning_effort" not in last and found["effort"]["told_by"] == "system"
    assert found["sessions"][-1]["loaded"]["by"] == "rest"


def test_another_name_in_memory_is_no_answer(sit):
    """LM Studio answers an unknown name with whatever is loaded (#619)."""
    with LMStudio(jit=False) as server:
        server.told("POST /api/v1/models/load", {"model": Q8}, "")
        with pytest.raises(WrongModel, match="not as openai/gpt-oss-20b"):
            sit(server, load=False, identifier="mine")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(refuses=TOO_BIG), "too big for the memory"),
        (Fault(refuses=CRASH), "crashed while it loaded"),
    ],
)
def test_a_load_that_fails_is_one_sentence(sit, place, fault, told):
    with LMStudio(faults={EIGHT: fault}) as server:
        with pytest.raises(NotLoaded, match=told):
            sit(server)
        assert server.asked == []
    assert not place.exists()


def test_replies_at_the_cap_are_cut_although_a_token_is_missing(sit, place):
    """LM Studio counts one token less than the budget (#2335)."""
    with LMStudio() as server:
        sit(server, max_tokens=8, stop_when_broken=False)
    rows = read_rows(place / ANSWERS, ("raw", "error", "content"))
    assert {row["completion_tokens"] for row in rows} == {7}
    assert {row["outcome"] for row in rows} == {"truncated"}


@pytest.mark.parametrize("status", [400, 200])
def test_a_prompt_beyond_the_context_is_told_once(sit, status):
    with LMStudio(overflow=status) as server:
        with pytest.raises(IgakuError, match=r"(?i)context"):
            sit(server, context_length=20)
        assert len(server.asked) == 1


def test_an_error_with_status_200_is_no_empty_answer(sit, place):
    fault = Fault(says="The model produced no output")
    with (
        LMStudio(faults={EIGHT: fault}) as server,
        pytest.raises(IgakuError, match="produced no output"),
    ):
        sit(server)
    assert not (place / ANSWERS).exists()


def test_a_model_that_is_loaded_by_its_first_request_is_waited_for(sit, place):
    with LMStudio(jit_delay=0.5) as server:
        sit(server, load=False)
    found = read_manifest(place)
    assert (found["status"], found["identity"]["status"]) == ("OK", "verified")


def test_a_variant_that_is_not_the_chosen_one_is_asked_all_the_same(sit, place):
    """8bit stays the choice under My Models; the listing tells of that one only."""
    with LMStudio(selected=EIGHT) as server:
        sit(server, "openai-mxfp4-gguf", load=False)
        assert server.loaded == [GGUF]
    found = read_manifest(place)
    assert (found["status"], found["identity"]["status"]) == ("OK", "verified")
    with LMStudio(selected=EIGHT, v0=False) as server, pytest.raises(WrongModel):
        sit(server, "openai-mxfp4-gguf", load=False, run="s")


def test_a_context_that_lm_studio_chose_is_to_be_set_there(sit):
    with (
        LMStudio(selected=EIGHT, variants=False) as server,
        pytest.raises(IgakuError, match="default under My Models in LM Studio to 5,"),
    ):
        sit(server, "openai-mxfp4-gguf", max_tokens=5000)


def test_the_token_is_sent_and_never_kept(sit, place, monkeypatch):
    with LMStudio(token="lm-secret") as server:
        with pytest.raises(NotLoaded, match="LM_API_TOKEN"):
            sit(server)
        monkeypatch.setenv("LM_API_TOKEN", "lm-secret")
        sit(server)
    kept = "".join(p.read_text(encoding="utf-8") for p in place.glob("*.json*"))
    assert json.loads((place / "manifest.json").read_text())["status"] == "OK"
    assert "lm-secret" not in kept


# A request is not its effect


def test_a_reply_to_another_prompt_is_an_alarm_on_both_questions(sit, place):
    """Status 200, the right name, and the text of the question before.

    A trial reply and six at two efforts come before the first question.
    """
    slug, name = "inferenceillusionist-4bit", "inferenceillusionist/gpt-oss-20b-mlx"
    with LMStudio(faults={name: Fault(stale=11)}) as server:
        sit(server, slug, reasoning_effort="medium")
    stale = [row["problem_id"] for row in read_rows(place / ANSWERS)][2:4]
    found = igaku.audit(place.parent).set_index("kind").loc["repeated_texts"]
    assert found["grave"] and all(name in found["text"] for name in stale)
