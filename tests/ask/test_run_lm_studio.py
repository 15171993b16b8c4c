"""Whole runs on a stand-in of LM Studio: loaded, proven, crashed, unloaded."""

import json
import subprocess

import pytest
from lm_studio import CRASH, TOO_BIG, Fault, LMStudio, lms_program
from stand_in import StandIn

import igaku
from igaku.ask import run
from igaku.ask.folder import ANSWERS
from igaku.ask.rows import read_rows
from igaku.ask.shape import read_manifest
from igaku.errors import EngineCrashed, IgakuError, NotLoaded, WrongModel
from igaku.params.settings import settings_from
from igaku.study.runs import load_run

HUB = "openai/gpt-oss-20b"
EIGHT, GGUF = f"{HUB}@8bit", f"{HUB}@mxfp4"
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
    rows = read_rows(place / ANSWERS, ("completion_tokens",))
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


@pytest.mark.parametrize("load", [True, False])
def test_a_context_that_the_engine_fitted_is_told_before_a_question(sit, place, load):
    """What was asked, what there is, and what helps: My Models' default does not."""
    with LMStudio(faults={EIGHT: Fault(fits=4096)}) as server:
        with pytest.raises(IgakuError) as caught:
            sit(server, max_tokens=5000, context_length=16000, load=load)
        assert len(server.asked) == 1  # the trial
    told = str(caught.value)
    assert "context of 4,096, not 16,000 as asked" in told
    assert "--parallel 1` and leave `load` out" in told and "runtime 1.8.5" in told
    assert "My Models does not help" in told and "mlx-llm" in told
    assert "lms load openai/gpt-oss-20b --context-length 5" in told
    assert not (place / ANSWERS).exists()


def test_what_the_advice_says_works_on_that_engine(sit, place, tmp_path):
    with LMStudio(faults={EIGHT: Fault(fits=4096)}) as server:
        program = lms_program(tmp_path, server)
        words = ["load", HUB, "--context-length", "6000", "--parallel", "1"]
        words += ["--identifier", HUB, "-y"]
        subprocess.run([program, *words], check=True, capture_output=True)
        sit(server, max_tokens=5000, load=False)
    found = read_manifest(place)
    got = found["sessions"][0]["loaded"]["got"]
    assert (found["status"], got["context_length"]) == ("OK", 6000)
    assert (got["parallel"], got["engine"]) == (1, "sequential")


def test_a_context_of_ones_own_that_is_too_short_is_to_be_raised(sit):
    told = "raise `context_length` to 5,.* or lower `max_tokens` to 3,"
    with LMStudio() as server, pytest.raises(IgakuError, match=told):
        sit(server, max_tokens=5000, context_length=4000)


def test_what_was_asked_and_what_was_got_stand_on_record_and_in_the_audit(sit, place):
    """A larger context, another parallelism and a seed without effect are notes."""
    heard = []

    def answer(asked, number):
        heard.append(asked.get("seed"))
        return "c"

    with LMStudio(answer, {EIGHT: Fault(fits=131_072)}) as server:
        sit(server, temperature=1.0, seed=42)
        assert {asked["seed"] for _, asked in server.asked} == {42} != set(heard)
    loaded = read_manifest(place)["sessions"][0]["loaded"]
    asked = {"context_length": 8192, "parallel": 1, "effort": "low", "seed": 42}
    assert loaded["asked"] == asked
    got = {"context_length": 131_072, "parallel": 4, "engine": "batched"}
    assert loaded["got"].items() >= got.items()
    assert loaded["got"]["efforts"] == ["low", "medium", "high"]
    assert loaded["got"]["runtime"] == "mlx-llm-mac-arm64-apple-metal-advsimd 2.5.1"
    found = igaku.audit(place.parent).set_index("kind").loc["other_than_asked"]
    told = " ".join(found["text"].split())
    assert not found["grave"]
    assert "context_length: asked 8192, found 131072" in told
    assert "parallel: asked 1, found 4" in told
    assert "seed: asked 42, which has no effect there" in told


def test_what_is_loaded_as_asked_is_no_note(sit, place):
    with LMStudio() as server:
        sit(server, concurrency=4)
    assert read_manifest(place)["sessions"][0]["loaded"]["differing"] == []
    assert "other_than_asked" not in set(igaku.audit(place.parent)["kind"])


def test_the_check_shows_what_is_other_than_asked(tmp_path):
    with LMStudio(faults={EIGHT: Fault(fits=131_072)}) as server:
        found = checked(server, tmp_path)
    told = "context_length: 131,072, not 8,192; parallel: 4, not 1"
    assert found["other_than_asked"] == told


def checked(server, tmp_path, **given):
    """What the check before a run finds."""
    settings = settings_from(
        **{"model": "openai-8bit", "exam": "calibration", "base_url": server.base_url}
        | {"outputs_dir": tmp_path / "outputs", "run": "r", "load": True}
        | given
    )
    with run.server_of(settings) as served:
        return served.check(run.questions_of(settings))


@pytest.mark.parametrize("is_checked", [True, False])
def test_an_effort_that_is_refused_is_one_sentence_with_those_allowed(
    tmp_path, is_checked
):
    fault = Fault(efforts=("low", "medium"))
    with LMStudio(faults={EIGHT: fault}) as server:
        settings = settings_from(
            model="openai-8bit", exam="calibration", shots=0, limit=N, run="r",
            base_url=server.base_url, outputs_dir=tmp_path, load=True,
            reasoning_effort="xhigh",
        )  # fmt: skip
        questions = run.questions_of(settings)
        with (
            run.server_of(settings) as served,
            pytest.raises(IgakuError) as caught,
        ):
            served.check(questions) if is_checked else served.run_exam(questions)
    told = str(caught.value)
    assert f"{EIGHT} does not take the reasoning effort xhigh" in told
    assert "'xhigh' is not supported by this model" in told
    assert "its listing allows low, medium:" in told


def test_a_field_that_is_refused_leaves_the_line_of_the_system_message(sit, place):
    """gpt-oss has its effort in its prompt, whatever the field is worth."""
    with LMStudio(faults={EIGHT: Fault(efforts=("on", "off"))}) as server:
        sit(server)
    found = read_manifest(place)
    assert (found["status"], found["effort"]["told_by"]) == ("OK", "system")
    assert found["effort"]["shown"]
    other = found["sessions"][0]["loaded"]["differing"]
    assert {"what": "effort", "asked": "low", "got": "on, off"} in other


@pytest.mark.parametrize("effort", ["low", "high", None])
@pytest.mark.parametrize("shots", [0, 3])
def test_all_that_the_system_is_told_reaches_a_model_that_hears_one_message(
    sit, effort, shots
):
    """A second one is dropped for gpt-oss (#2264)."""
    heard = []

    def answer(asked, number):
        heard.append([m for m in asked["messages"] if m["role"] != "user"])
        return "c"

    with LMStudio(answer) as server:
        given = {} if effort is None else {"reasoning_effort": effort}
        sit(server, shots=shots, **given)
        sent = [m for m in server.asked[-1][1]["messages"] if m["role"] != "user"]
    assert heard[-1] == sent
    assert [m["role"] for m in sent] == ["system"] + ["assistant"] * shots
    line = f"Reasoning: {effort or 'low'}"
    assert sent[0]["content"].endswith(line) and len(sent[0]["content"]) > 3 * len(line)


@pytest.mark.parametrize("cached", [None, 0, 64])
def test_cached_tokens_are_kept_as_they_are_told(sit, place, cached):
    with LMStudio(faults={EIGHT: Fault(cached=cached)}) as server:
        sit(server)
    assert {
        row["cached_tokens"] for row in read_rows(place / ANSWERS, ("cached_tokens",))
    } == {cached}


def test_runs_of_two_engines_are_a_note(sit, place):
    with LMStudio() as server:
        sit(server)
        sit(server, "openai-mxfp4-gguf", run="s")
    found = igaku.audit(place.parent)
    told = found[found["kind"] == "other_serving"]
    assert any("runtime" in text and "mlx-llm" in text for text in told["text"])


def test_log_probabilities_are_accepted_and_not_there(sit, place):
    with LMStudio() as server:
        sit(server, extra_body={"logprobs": True, "top_logprobs": 5})
        assert server.asked[-1][1]["logprobs"] is True
    rows = read_rows(place / ANSWERS, ("raw",))
    assert {row["outcome"] for row in rows} == {"answered"}
    assert all(row["raw"]["choices"][0]["logprobs"] is None for row in rows)
