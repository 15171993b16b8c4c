"""Loading and unloading in LM Studio, against a stand-in that speaks its dialect."""

import copy
import signal
import socket
import threading
import time

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st
from lm_studio import CRASH, SEED, TOO_BIG, Fault, LMStudio, lms_program

from igaku.errors import IgakuError, NotLoaded, ServerUnreachable
from igaku.params.settings import settings_from
from igaku.server import lms, lmstudio
from igaku.server.client import complete, connect, is_retryable, server_facts
from igaku.server.effect import effect_of, effort_refused
from igaku.server.fingerprint import Fingerprint, is_lm_studio, served_as
from igaku.server.lmstudio import load, unload
from igaku.server.parts import parts_of

HUB = "openai/gpt-oss-20b"
MLX, GGUF = f"{HUB}@8bit", f"{HUB}@mxfp4"
Q8, Q4 = (f"mlx-community/gpt-oss-20b-mxfp4-q{bits}" for bits in (8, 4))
SAFEGUARD = "gpt-oss-safeguard-20b-mlx"


@pytest.fixture(autouse=True)
def programs(tmp_path, monkeypatch):
    """The folder of programs: an `lms` of this machine is not found."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("IGAKU_API_KEY", raising=False)
    monkeypatch.delenv("LM_API_TOKEN", raising=False)
    monkeypatch.setattr(lmstudio, "PAUSE", 0.05)
    monkeypatch.setattr(lmstudio, "LINGER", 5.0)
    return folder


def loading(server, model=Q8, parallel=4, patience=20.0):
    return load(server.base_url, model, 8192, parallel, "igaku", patience)


def listed(server, model, path="/api/v1/models"):
    """What a listing of the server says of a model."""
    told = server_facts(server.base_url)[path]
    rows = told.get("models") or told.get("data")
    return next(row for row in rows if model in (row.get("key"), row.get("id")))


def refusal(server, model=Q8, patience=20.0):
    """The sentence of a load that fails."""
    with pytest.raises(NotLoaded) as caught:
        loading(server, model, patience=patience)
    sentence = str(caught.value)
    assert server.base_url in sentence and "\n" not in sentence
    return sentence


def reply(server, model, content="?", path="/chat/completions", **body):
    """The reply to one question."""
    chat = body.pop("messages", [{"role": "user", "content": content}])
    body = {"model": model, "messages": chat, **body}
    with connect(server.base_url) as client:
        return complete(client, body)


# Loading over the REST interface


def test_a_model_is_loaded_as_asked():
    with LMStudio() as server:
        it = loading(server)
        assert server.loaded == [Q8]
        asked = {"model": Q8, "context_length": 8192, "echo_load_config": True}
        assert server.loads == [(Q8, asked)]
    assert (it.instance, it.model, it.by) == (Q8, Q8, "rest")
    assert it.config["context_length"] == 8192 and it.config["parallel"] == 4
    assert 0 < it.seconds < 20


@pytest.mark.parametrize("variant", [MLX, GGUF])
def test_a_variant_is_loaded_under_the_name_that_requests_carry(variant):
    with LMStudio() as server:
        it = loading(server, variant)
        assert it.model == variant and server.loaded == [variant]
        told = reply(server, it.instance)
        facts = server_facts(server.base_url)
    assert served_as(variant, told.served_model, facts)


def test_what_was_loaded_of_the_model_goes_first_and_other_models_stay():
    with LMStudio() as server:
        kept = loading(server, Q4)
        for _ in range(2):
            loading(server, MLX)
        assert loading(server, GGUF).instance == HUB  # not a second one, as HUB:2
        assert server.loaded == [Q4, GGUF]
        assert kept.instance not in server.unloads


def test_a_listing_that_lags_is_waited_for():
    with LMStudio(faults={Q8: Fault(lag=0.4)}) as server:
        it = loading(server)
    assert it.instance == Q8 and it.seconds >= 0.4


def test_an_instance_that_is_never_listed_ends_the_patience(monkeypatch):
    monkeypatch.setattr(lmstudio, "LINGER", 0.1)
    with LMStudio(faults={Q8: Fault(lag=99)}) as server:
        told = refusal(server, patience=0.3)
        assert server.unloads == [Q8]
    assert f"loaded {Q8} as {Q8}" in told and "0.3 s" in told


def test_a_load_that_takes_too_long_is_not_called_a_dead_server():
    with LMStudio(faults={Q8: Fault(takes=1.5)}) as server:
        told = refusal(server, patience=0.2)
        assert server.unloads == [Q8]  # it arrived afterwards
    assert f"did not load {Q8} within 0.2 s" in told


def test_other_weights_show_in_the_listing_and_in_the_reply():
    with LMStudio(faults={Q4: Fault(loads=Q8)}) as server:
        it = loading(server, Q4)
        told = reply(server, it.instance)
        facts = server_facts(server.base_url)
    assert it.model == Q4 and told.served_model == Q8
    assert not served_as(Q4, told.served_model, facts)


def test_another_variant_shows_only_in_the_listing():
    with LMStudio(faults={MLX: Fault(loads=GGUF)}) as server:
        it = loading(server, MLX)
        assert reply(server, it.instance).served_model == HUB
        assert listed(server, HUB)["selected_variant"] == GGUF


# What was left behind


def test_what_a_killed_run_left_goes_first(programs):
    with LMStudio() as server:
        lms_program(programs, server)
        kept = load(server.base_url, SAFEGUARD, 8192, 1, "mine")
        left = load(server.base_url, Q4, 8192, 1, "igaku-q4")
        assert (kept.instance, left.instance) == ("mine", "igaku-q4")
        loading(server)
        assert server.loaded == [SAFEGUARD, Q8] and server.unloads[-1] == "igaku-q4"


def test_what_a_killed_run_left_hides_no_model_of_an_older_lm_studio(programs):
    with LMStudio(v1=False) as server:
        lms_program(programs, server)
        for _ in range(2):  # that listing names a loaded model by its identifier only
            load(server.base_url, GGUF, 8192, 1, "igaku-gguf")
        assert server.loaded == [GGUF] and server.unloads == ["igaku-gguf"]


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="Windows sends no Ctrl-C to a thread"
)
@pytest.mark.parametrize("takes", [0.6, 0.0])
def test_a_load_that_is_interrupted_leaves_nothing_in_memory(takes):
    """Ctrl-C before the model is in memory, and while its listing is waited for."""
    fault = Fault(takes=takes, lag=0.0 if takes else 0.8)
    with LMStudio(faults={Q8: fault}) as server:
        loading(server, Q4)
        main = threading.get_ident()

        def interrupted():
            while len(server.loads) < 2:
                time.sleep(0.01)
            time.sleep(0.3)
            signal.pthread_kill(main, signal.SIGINT)

        threading.Thread(target=interrupted).start()
        with pytest.raises(KeyboardInterrupt):
            loading(server)
        assert server.loaded == [Q4] and server.unloads == [Q8]


# Sentences


def test_a_model_that_is_not_there_is_named_with_the_fix():
    with LMStudio() as server:
        told = refusal(server, "gpt-oss-120b")
        assert server.loads == []
    assert "not downloaded gpt-oss-120b" in told and "`lms get gpt-oss-120b`" in told
    assert MLX in told and GGUF in told and SAFEGUARD in told


def test_a_variant_that_is_not_there_is_not_the_other_one():
    with LMStudio() as server:
        assert f"not downloaded {HUB}@q4_k_m" in refusal(server, f"{HUB}@q4_k_m")


def test_another_server_is_told_to_load_by_itself():
    with LMStudio(v0=False, v1=False) as server:
        told = refusal(server)
        assert not is_lm_studio(server_facts(server.base_url))
    assert "is not LM Studio" in told and "leave `load` out" in told


def test_a_model_too_big_for_memory_is_told_with_its_size():
    with LMStudio(faults={MLX: Fault(refuses=TOO_BIG)}) as server:
        told = refusal(server, MLX)
        assert loading(server, Q8).instance == Q8  # the next one loads
    assert f"{MLX} (22.26 GB) is too big" in told and "8,192 now" in told
    assert "24.10 GB" in told and "guardrails" in told


def test_the_size_of_one_variant_is_not_told_of_another():
    with LMStudio(faults={GGUF: Fault(refuses=TOO_BIG)}) as server:
        told = refusal(server, GGUF)
    assert f"{GGUF} is too big" in told and "22.26" not in told


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_engine_that_crashes_while_loading_is_told_apart(status):
    fault = Fault(refuses=CRASH, status=status)
    with LMStudio(faults={Q8: fault}) as server:
        told = refusal(server)
    assert "crashed while it loaded" in told and "Exit code: 6" in told
    assert "runtime" in told


def test_another_refusal_is_told_in_the_words_of_the_server():
    fault = Fault(refuses="Error loading model: unknown architecture.")
    with LMStudio(faults={Q8: fault}) as server:
        told = refusal(server)
    assert f"could not load {Q8} (Error loading model: unknown architecture)" in told


@pytest.mark.parametrize("status", [404, 422])
def test_a_model_that_goes_missing_is_no_old_server(status):
    fault = Fault(refuses="Model not found.", status=status)
    with LMStudio(faults={Q8: fault}) as server:
        assert f"could not load {Q8} (Model not found)" in refusal(server)


def test_a_token_is_sent_and_its_absence_is_told(monkeypatch):
    with LMStudio(token="secret") as server:
        told = refusal(server)
        assert "LM_API_TOKEN" in told and "IGAKU_API_KEY" in told
        monkeypatch.setenv("LM_API_TOKEN", "wrong-one")
        told = refusal(server)
        assert "LM_API_TOKEN" in told and "wrong-one" not in told
        monkeypatch.setenv("LM_API_TOKEN", "secret")
        monkeypatch.setenv("IGAKU_API_KEY", "of-another-service")
        assert loading(server).instance == Q8


def test_no_server_is_told_as_such():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(ServerUnreachable, match=f"No server answers at {url}"):
            load(url, Q8, 8192, 1, "igaku")


# Unloading


def test_unloading_what_has_gone_is_quiet():
    with LMStudio() as server:
        it = loading(server)
        unload(server.base_url, it)
        unload(server.base_url, it)
        assert server.loaded == [] and server.unloads == [Q8]
    unload(server.base_url, it)  # from a server that has gone as well


def test_an_instance_that_stays_is_not_loaded_beside(monkeypatch):
    with LMStudio() as server:
        it = loading(server)
        stuck = {"error": "The instance is busy."}
        told = server.told
        monkeypatch.setattr(
            server,
            "told",
            lambda door, body, key: (
                (500, stuck) if door.endswith("/unload") else told(door, body, key)
            ),
        )
        sentence = refusal(server)
        unload(server.base_url, it)
        assert server.loaded == [Q8]
    assert f"does not unload {Q8} (The instance is busy)" in sentence


# The lms program


@pytest.mark.parametrize("unknown_path", [200, 404])
def test_an_older_lm_studio_loads_by_its_program(programs, unknown_path):
    with LMStudio(v1=False, unknown_path=unknown_path) as server:
        lms_program(programs, server)
        it = loading(server, MLX, parallel=2)
        assert (it.by, it.instance) == ("lms", "igaku")
        assert it.config == {"context_length": 8192, "parallel": 2}
        assert reply(server, "igaku").served_model == "igaku"
        command = ["load", MLX, "--context-length", "8192", "--parallel", "2"]
        assert [*command, "--identifier", "igaku", "-y"] in server.commands
        unload(server.base_url, it)
        assert server.loaded == [] and ["unload", "igaku"] in server.commands


def test_the_program_is_found_where_lm_studio_puts_it(tmp_path):
    folder = tmp_path / ".lmstudio" / "bin"
    folder.mkdir(parents=True)
    with LMStudio(v1=False) as server:
        lms_program(folder, server)
        assert loading(server).by == "lms"


def test_an_older_lm_studio_without_its_program_says_what_to_do():
    with LMStudio(v1=False) as server:
        told = refusal(server)
    assert "update LM Studio to 0.4" in told and "leave `load` out" in told


def test_the_program_sets_a_parallelism_that_rest_cannot(programs):
    with LMStudio() as server:
        assert loading(server, parallel=1).config["parallel"] == 4  # no program yet
        lms_program(programs, server)
        it = loading(server, parallel=1)
        assert (it.by, it.instance) == ("lms", "igaku")
        assert it.config["parallel"] == 1 and server.loaded == [Q8]


def test_a_program_that_steers_another_server_is_left_alone(programs):
    with LMStudio(v1=False) as server, LMStudio() as other:
        lms_program(programs, other)
        assert "no `lms` program steers it" in refusal(server)
        assert other.loads == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(TOO_BIG, "is too big for the memory"), (CRASH, "crashed while it loaded")],
)
def test_what_the_program_has_against_a_load_is_told(programs, text, sentence):
    with LMStudio(faults={Q8: Fault(refuses=text)}, v1=False) as server:
        lms_program(programs, server)
        assert sentence in refusal(server)


def test_only_a_server_on_this_machine_is_steered_by_the_program(programs):
    with LMStudio() as server:
        lms_program(programs, server)
        port = server.base_url.rpartition(":")[2]
        assert lms.program_of(server.base_url) == str(programs / "lms")
        assert lms.program_of(f"http://studio.local:{port}") is None


# What is loaded is not always what was asked


@pytest.mark.parametrize("fitted", [4096, 131_072])
def test_the_context_is_the_listing_s_and_not_the_echo_of_the_request(programs, fitted):
    with LMStudio(faults={Q8: Fault(fits=fitted)}) as server:
        it = loading(server, parallel=1)
        assert (it.by, it.config["context_length"]) == ("rest", fitted)
        assert it.asked == {"context_length": 8192, "parallel": 1}
        lms_program(programs, server)
        it = loading(server, parallel=1)  # which takes the other engine
        assert (it.by, it.config["context_length"]) == ("lms", 8192)
        it = loading(server, parallel=2)
        assert (it.by, it.config["context_length"]) == ("lms", fitted)


@pytest.mark.parametrize("efforts", [None, "low", [], [1, {}, None], ["\x1b[2Jlow"]])
def test_a_listing_s_odd_efforts_are_no_efforts_and_no_control_characters(efforts):
    row = {"key": Q8, "capabilities": {"reasoning": {"allowed_options": efforts}}}
    settings = settings_from(model="mlx-community-mxfp4-q8", exam="calibration")
    facts = {"/api/v1/models": {"models": [row]}}
    told = effect_of(settings, facts, Fingerprint(), None, None)
    assert "\x1b" not in str(told["got"].get("efforts", []))
    assert all(isinstance(each, str) for each in told["got"].get("efforts", []))


@pytest.mark.parametrize(
    ("status", "said", "is_such"),
    [
        (400, "Reasoning setting 'low' is not supported by this model.", True),
        (400, "reasoning_effort: low is not one of on, off", True),
        (422, "Input should be 'high' (reasoning_effort), input: 'low'", True),
        (400, "Unrecognized request argument: reasoning_effort (low)", False),
        (400, "The context length is exceeded", False),
        (500, "reasoning effort low failed", False),
    ],
)
def test_a_refused_effort_is_known_by_its_words(status, said, is_such):
    told = parts_of({"error": {"message": said}}, status)
    assert (effort_refused(told, "low") is not None) is is_such
    assert effort_refused(told, None) is None


# Parallelism never costs a model


@pytest.mark.parametrize("is_fixed", [True, False])
def test_the_program_is_given_the_name_that_rest_took(programs, is_fixed):
    selected = MLX if is_fixed else None
    with LMStudio(variants=False, lms_variants=False, selected=selected) as server:
        lms_program(programs, server)
        it = loading(server, MLX, parallel=1)
        assert (it.by, it.config["parallel"], server.loaded) == ("lms", 1, [MLX])
        loads = [words[1] for words in server.commands if words[0] == "load"]
        assert loads == [HUB]


def test_a_program_that_fails_leaves_what_rest_loaded(programs):
    with LMStudio(lms_variants=False) as server:
        lms_program(programs, server)
        it = loading(server, GGUF, parallel=1)
        assert (it.by, it.instance, server.loaded) == ("rest", HUB, [GGUF])
        assert it.config["parallel"] == 4 and it.config["context_length"] == 8192
        assert ["load", GGUF] in [words[:2] for words in server.commands]


def test_a_program_that_loads_and_fails_leaves_one_instance(programs):
    with LMStudio() as server:
        program = lms_program(programs, server)
        text = program.read_text("utf-8")
        fails = 'sys.exit(done["code"] or "load" in sys.argv)'
        program.write_text(text.replace('sys.exit(done["code"])', fails), "utf-8")
        it = loading(server, parallel=1)
        assert (it.by, it.config["parallel"], server.loaded) == ("rest", 4, [Q8])
        assert server.unloads == [Q8, "igaku"]


def test_an_instance_that_will_not_go_is_used_as_it_is(programs, monkeypatch):
    with LMStudio() as server:
        lms_program(programs, server)
        stuck, told = {"error": "The instance is busy."}, server.told
        monkeypatch.setattr(
            server,
            "told",
            lambda door, body, key: (
                (500, stuck) if door.endswith("/unload") else told(door, body, key)
            ),
        )
        it = loading(server, parallel=1)
        assert (it.by, it.config["parallel"], server.loaded) == ("rest", 4, [Q8])


# LM Studio among servers


@pytest.mark.parametrize(("v0", "v1"), [(True, True), (True, False), (False, True)])
def test_lm_studio_is_known_by_its_listing(v0, v1):
    with LMStudio(v0=v0, v1=v1) as server:
        assert is_lm_studio(server_facts(server.base_url))
    assert not is_lm_studio({"/v1/models": {"data": [{"id": Q8}]}})


# The stand-in keeps to what is on record of LM Studio


def test_the_stand_in_has_the_six_models_of_the_seed(checkout):
    cards = [
        yaml.safe_load(p.read_text("utf-8")) for p in checkout.glob("params/*.yaml")
    ]
    seed = [it for it in cards if it["card"].get("origin") == "seed"]
    sizes = {it["model"]: it["card"]["size_gb"] for it in seed}
    assert {it.name: it.gigabytes for it in SEED} == sizes


def test_the_stand_in_answers_an_unknown_name_with_what_is_loaded():
    with LMStudio(jit=False) as server:
        assert "No models loaded" in reply(server, Q8).error
        loading(server)
        assert reply(server, "anything").served_model == Q8
        loading(server, Q4)
        told = reply(server, "anything")
        assert told.status == 404 and Q8 in told.error and Q4 in told.error


def test_the_stand_in_loads_on_request_and_evicts():
    with LMStudio(jit_delay=0.1) as server:
        assert reply(server, Q8).served_model == Q8
        assert reply(server, Q4).served_model == Q4
        assert server.loaded == [Q4]


def test_the_stand_in_thinks_as_the_effort_that_reaches_the_model():
    line = [{"role": "system", "content": "Be brief.\nReasoning: high"}]
    line += [{"role": "user", "content": "?"}]
    with LMStudio() as server:
        for model, default in ((MLX, 10), (Q8, 40)):
            assert reply(server, model).reasoning_tokens == default
            field = reply(server, model, reasoning_effort="high")
            assert field.reasoning_tokens == default
            assert reply(server, model, messages=line).reasoning_tokens == 160
            with connect(server.base_url) as client:
                told = client.responses.create(
                    model=model, input="?", reasoning={"effort": "high"}
                )
            thought = told.usage.output_tokens_details.reasoning_tokens
            assert thought == (160 if model == MLX else default)


def test_the_stand_in_counts_one_token_short_at_the_cap():
    with LMStudio() as server:
        cut = reply(server, Q8, max_tokens=40)
    assert (cut.content, cut.finish_reason) == ("", "length")
    assert cut.completion_tokens == cut.reasoning_tokens == 39


def test_the_stand_in_tells_of_engine_and_weights_on_its_own_interface():
    with LMStudio() as server:
        url = server.base_url.removesuffix("/v1") + "/api/v0"
        with connect(url) as client:
            told = complete(client, {"model": GGUF, "messages": [], "max_tokens": 5})
    assert told.raw["model_info"]["quant"] == "MXFP4"
    assert told.raw["model_info"]["format"] == "gguf"
    assert told.raw["stats"]["stop_reason"] == "maxPredictedTokensReached"
    assert told.raw["runtime"]["name"].startswith("llama.cpp")


@pytest.mark.parametrize("status", [200, 400])
def test_the_stand_in_overflows_as_either_version_does(status):
    with LMStudio(overflow=status) as server:
        told = reply(server, Q8, content="?" * 20_000)
    assert told.status == status and "context length" in told.error


def test_the_stand_in_crashes_and_replies_again_once_loaded():
    with LMStudio(faults={Q8: Fault(crashes_after=2)}) as server:
        it = loading(server)
        assert [reply(server, it.instance).content for _ in range(2)] == ["c", "c"]
        crashed = reply(server, it.instance)
        assert crashed.error == CRASH and is_retryable(crashed)
        assert "No models loaded" in reply(server, it.instance).error
        it = loading(server)
        assert [reply(server, it.instance).content for _ in range(5)] == ["c"] * 5


def test_the_stand_in_fails_with_status_200():
    with LMStudio(faults={Q8: Fault(says="Something broke.")}) as server:
        told = reply(server, Q8)
    assert (told.status, told.error) == (200, "Something broke.")


def test_the_stand_in_lists_what_can_be_loaded():
    with LMStudio(jit=False) as idle, connect(idle.base_url) as client:
        assert [row.id for row in client.models.list()] == []
        loading(idle)
        assert [row.id for row in client.models.list()] == [Q8]
    with LMStudio() as server:
        rows = server_facts(server.base_url)["/api/v1/models"]["models"]
    hub = rows[0]
    assert hub["variants"] == [MLX, GGUF] and hub["selected_variant"] == MLX
    assert hub["capabilities"]["reasoning"]["default"] == "low"
    assert all("reasoning" not in row["capabilities"] for row in rows[1:])


# Variants that the load request does not find by name


def test_the_selected_variant_is_loaded_by_its_key():
    with LMStudio(variants=False) as server:
        it = loading(server, MLX)
        assert (it.by, server.loaded) == ("rest", [MLX])
        assert [name for name, _ in server.loads] == [HUB]


def test_another_variant_is_loaded_by_a_request_for_one_token():
    with LMStudio(variants=False) as server:
        it = loading(server, GGUF)
        assert (it.by, server.loaded) == ("request", [GGUF])
        assert it.config["context_length"] == 4096  # no request can set it
        assert server.asked[-1][1]["max_tokens"] == 1
        unload(server.base_url, it)
        assert server.loaded == []


def test_a_variant_that_nothing_loads_is_to_be_chosen_in_lm_studio():
    with LMStudio(variants=False, jit=False) as server:
        told = refusal(server, GGUF)
        assert f"choose this variant of {HUB} under My Models" in told


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(TOO_BIG, "is too big for the memory"), (CRASH, "crashed while it loaded")],
)
def test_what_stops_a_load_by_request_is_told(text, sentence):
    fault = Fault(refuses=text, status=400)
    with LMStudio(faults={GGUF: fault}, variants=False) as server:
        assert sentence in refusal(server, GGUF)


def test_a_load_by_request_that_takes_too_long_is_told(monkeypatch):
    with LMStudio(faults={GGUF: Fault(takes=1.5)}, variants=False) as server:
        told = refusal(server, GGUF, patience=0.2)
        assert server.unloads == [HUB]
    assert f"did not load {GGUF} within 0.2 s" in told


# A listing that tells of the variant chosen under My Models, whatever is loaded


@pytest.mark.parametrize("chosen", [MLX, GGUF])
@pytest.mark.parametrize("variant", [MLX, GGUF])
@pytest.mark.parametrize("variants", [True, False])
def test_a_variant_is_loaded_whichever_is_chosen(chosen, variant, variants):
    with LMStudio(selected=chosen, variants=variants) as server:
        it = loading(server, variant)
        assert server.loaded == [variant]
        assert it.by == ("rest" if variants or variant == chosen else "request")
        assert reply(server, it.instance).served_model == HUB


def test_the_stand_in_keeps_to_the_choice_in_its_newer_listing_only():
    with LMStudio(selected=MLX) as server:
        loading(server, GGUF)
        row = listed(server, HUB)
        assert row["selected_variant"] == MLX and row["format"] == "mlx"
        assert row["quantization"]["name"] == "8bit"
        assert row["size_bytes"] == 22_260_000_000
        assert [held["id"] for held in row["loaded_instances"]] == [HUB]
        older = listed(server, HUB, "/api/v0/models")
        assert older["compatibility_type"] == "gguf" and older["state"] == "loaded"


@pytest.mark.parametrize("selected", [None, MLX])
def test_the_stand_in_can_name_an_instance_after_its_variant(selected):
    with LMStudio(selected=selected, variant_ids=True) as server:
        assert loading(server, GGUF).instance == GGUF
        assert loading(server, MLX).instance == MLX and server.loaded == [MLX]
        assert reply(server, MLX).served_model == MLX


# Odd listings

LISTING = {
    "models": [
        {
            "type": "llm",
            "key": HUB,
            "size_bytes": 22_260_000_000,
            "loaded_instances": [{"id": HUB, "config": {"context_length": 8192}}],
            "variants": [MLX, GGUF],
            "selected_variant": MLX,
        },
        {"type": "llm", "key": Q8, "size_bytes": 1, "loaded_instances": []},
    ]
}
OLDER = {"data": [{"id": HUB, "state": "loaded", "loaded_context_length": 8192}]}
DONE = {"instance_id": HUB, "status": "loaded", "load_config": {"parallel": 1}}
REFUSED = {"error": {"type": "model_not_found", "message": TOO_BIG}}
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, float("inf"), float("nan"), "\ud800", "igaku-\0"])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "key", "error"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def odd(draw, told):
    """An answer of the server, odd in one to three places."""
    told = {"": copy.deepcopy(told)}
    for _ in range(draw(st.integers(1, 3))):
        holder, place = draw(st.sampled_from(list(places(told))))
        holder[place] = draw(ODD)
    return told[""]


def places(node):
    """Every place in a JSON value that something else could stand in."""
    inner = node if isinstance(node, dict) else range(len(node))
    for place in list(inner):
        yield node, place
        if isinstance(node[place], dict | list):
            yield from places(node[place])


ANSWERS = {
    "/api/v1/models": odd(LISTING),
    "/api/v0/models": odd(OLDER),
    "/api/v1/models/load": st.sampled_from([DONE, REFUSED]) | odd(DONE) | odd(REFUSED),
    "/api/v1/models/unload": st.just({"instance_id": HUB}) | odd(REFUSED),
    "/v1/chat/completions": odd(REFUSED),
}


@hypothesis.given(
    answers=st.fixed_dictionaries(ANSWERS),
    status=st.sampled_from([200, 404, 500]),
    model=st.sampled_from([HUB, MLX, GGUF, Q8]),
)
@hypothesis.settings(
    max_examples=200,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_whatever_is_listed_is_loaded_or_refused_with_a_sentence(
    answers, status, model, monkeypatch
):
    """What a stand-in answers in place of LM Studio; no LM Studio is that odd."""

    def asked(base_url, path, body=None, patience=1.0):
        is_listing = body is None
        return parts_of(answers[path], 200 if is_listing else status)

    monkeypatch.setattr(lmstudio, "asked", asked)
    monkeypatch.setattr(lmstudio, "PAUSE", 0.0)
    monkeypatch.setattr(lmstudio, "LINGER", 0.0)
    sentence = instance = ""
    try:
        it = load("http://127.0.0.1:1/v1", model, 8192, 1, "igaku-x", patience=0.01)
        instance = it.instance
    except IgakuError as refused:
        sentence = str(refused)
    assert (sentence or instance).encode()  # half a character would not be printed


@pytest.mark.parametrize("listing", ["[" * 100_000, "1" * 5000, '{"models": ', ""])
def test_a_listing_that_is_no_json_is_no_lm_studio(listing, monkeypatch):
    with LMStudio() as server:
        monkeypatch.setattr(server, "told", lambda *_: (200, listing))
        told = refusal(server)
    assert "is not LM Studio" in told
