"""The lab's servers, asked over HTTP: both engines, their replies, and their end."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from lab_checkpoint import make_checkpoint

from igaku.errors import IgakuError
from igaku.lab import engines, forward, serve
from igaku.lab.checkpoint import open_checkpoint
from igaku.lab.serve import serve_forever, serving
from igaku.lab.variants import EMBEDDED, quantize
from igaku.mechanism.ablation import Ablation, ablate

GGUF, MLX = "lab-gguf-mxfp4", "lab-float32"
CHAT = [
    {"role": "system", "content": "hello"},
    {"role": "user", "content": "心拍数は 72/分、ＡＳＴは 35 U/L。hello? he's 10％"},
]


def skip_without(slug):
    if reason := engines.missing_engine(slug):
        pytest.skip(f"{slug} is left out: {reason}")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IGAKU_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def running(checkpoint):
    """Servers of the random checkpoint by slug, each started when first wanted."""
    with contextlib.ExitStack() as stack:
        started = {}

        def server(slug):
            skip_without(slug)
            if slug not in started:
                started[slug] = stack.enter_context(serving(slug, checkpoint))
            return started[slug]

        yield server


def call(server, path, body=None):
    """Status and body of one request to a server; HTTP errors are answers too."""
    request = urllib.request.Request(
        server.base_url.removesuffix("/v1") + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def chat(server, messages=CHAT, tokens=8, **more):
    body = {"model": server.model, "messages": messages, "max_tokens": tokens}
    return call(server, "/v1/chat/completions", body | {"temperature": 0} | more)


def continued(server, prompt, tokens=12):
    body = {"model": server.model, "prompt": prompt, "max_tokens": tokens}
    status, answer = call(server, "/v1/completions", body | {"temperature": 0})
    assert status == 200, answer
    return answer["choices"][0]["text"], answer["usage"]["prompt_tokens"]


@pytest.mark.parametrize("slug", [MLX, GGUF])
def test_a_server_lists_one_model_by_its_slug(running, slug):
    server = running(slug)
    status, answer = call(server, "/v1/models")
    assert status == 200
    assert [model["id"] for model in answer["data"]] == [slug]
    assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
    assert server.model == slug
    os.kill(server.pid, 0)


def test_mlx_refuses_a_model_it_does_not_serve(running):
    server = running(MLX)
    started = time.monotonic()
    status, answer = chat(server, model="mlx-community/gpt-oss-20b-MXFP4-Q8")
    assert status == 404
    assert "is not served here: ask for 'lab-float32'" in answer["error"]
    assert time.monotonic() - started < 5  # it looked nowhere else
    status, answer = chat(server)
    assert status == 200
    assert answer["model"] == MLX


def test_llama_cpp_says_what_it_serves_whatever_it_is_asked_for(running):
    server = running(GGUF)
    body = {"model": "another", "prompt": "hello", "max_tokens": 1}
    status, answer = call(server, "/v1/completions", body)
    assert status == 200
    assert answer["model"] == GGUF
    _, props = call(server, "/props")
    assert props["model_alias"] == GGUF
    assert props["default_generation_settings"]["n_ctx"] == 8192


@pytest.mark.parametrize("slug", [MLX, GGUF])
def test_greedy_replies_are_the_same_again_and_side_by_side(running, slug):
    server = running(slug)
    prompts = [f"{n} hello 心{n * 7}" * (1 + n % 3) for n in range(8)]
    first = [continued(server, prompt)[0] for prompt in prompts]
    again = [continued(server, prompt)[0] for prompt in prompts]
    with ThreadPoolExecutor(8) as pool:
        together = [
            text for text, _ in pool.map(lambda p: continued(server, p), prompts)
        ]
    assert first == again == together
    assert len(set(first)) > 1


def test_both_engines_read_the_same_prompt(running):
    """Template and tokenizer agree, to the token, with the ones of the checkpoint."""
    for effort in ("low", "medium", "high"):
        kwargs = {"chat_template_kwargs": {"reasoning_effort": effort}}
        status, answer = chat(running(MLX), tokens=1, **kwargs)
        assert status == 200
        _, rendered = call(
            running(GGUF), "/apply-template", {"messages": CHAT, **kwargs}
        )
        _, told = call(
            running(GGUF),
            "/apply-template",
            {"messages": CHAT, "reasoning_effort": effort},
        )
        assert rendered == told
        assert f"Reasoning: {effort}<|end|>" in rendered["prompt"]
        _, pieces = call(
            running(GGUF),
            "/tokenize",
            {"content": rendered["prompt"], "parse_special": True},
        )
        assert len(pieces["tokens"]) == answer["usage"]["prompt_tokens"]


def test_mlx_takes_the_effort_from_the_template_arguments_only(running):
    server = running(MLX)

    def size(**more):
        return chat(server, tokens=1, **more)[1]["usage"]["prompt_tokens"]

    low = size(chat_template_kwargs={"reasoning_effort": "low"})
    assert low == size() - len("medium") + len("low")
    assert size(reasoning_effort="low") == size()


def test_mlx_over_http_says_what_the_reference_says(running, checkpoint):
    """The engine of the ablations and the served one are one model."""
    server = running(MLX)
    chats = {str(n): [{"role": "user", "content": f"hello {n}"}] for n in range(6)}
    ours = ablate(Ablation(), chats, 12, checkpoint=checkpoint)
    for reply in ours:
        status, theirs = chat(server, chats[reply.problem_id], 12)
        assert status == 200
        choice = theirs["choices"][0]
        assert (choice["message"]["content"] or "") == reply.text
        assert choice["finish_reason"] == reply.finish_reason
        assert theirs["usage"]["completion_tokens"] == reply.tokens
        assert theirs["usage"]["prompt_tokens"] == reply.prompt_tokens


def test_llama_cpp_computes_what_its_file_says(running, checkpoint):
    """Its probabilities are those of the decoded weights, up to its 8-bit activations.

    Where these tip a router's choice between experts a random model says something
    else, so the middle one of nine prompts is held to account.
    """
    import gguf

    server = running(GGUF)
    net = network_of_gguf(gguf, checkpoint, server.folder / "model.gguf")
    alike = []
    for text in ("hello", "心拍数 72", *("1234567890" * n for n in range(1, 8))):
        _, pieces = call(server, "/tokenize", {"content": text})
        logits = forward.logits(net, pieces["tokens"])[-1].astype(float)
        body = {"prompt": text, "n_predict": 1, "temperature": 0, "n_probs": 270}
        _, answer = call(server, "/completion", body)
        if "completion_probabilities" not in answer:  # the reply was a stop token
            continue
        found = np.zeros(270)
        for entry in answer["completion_probabilities"][0]["top_logprobs"]:
            found[entry["id"]] = entry["logprob"]
        alike.append(np.corrcoef(found, logits)[0, 1])
    assert len(alike) > 5
    assert np.median(alike) > 0.999
    assert min(alike) > 0.7


def network_of_gguf(gguf, checkpoint, path):
    """The numpy network with the numbers that a GGUF holds."""
    names = {"token_embd": "model.embed_tokens", "output": "lm_head"}
    names |= {"output_norm": "model.norm"}
    layer = {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "attn_norm": "input_layernorm",
        "post_attention_norm": "post_attention_layernorm",
        "ffn_gate_inp": "mlp.router",
        "ffn_gate_exps": "mlp.experts.gate_proj",
        "ffn_up_exps": "mlp.experts.up_proj",
        "ffn_down_exps": "mlp.experts.down_proj",
    }
    weights = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        stem, kind = tensor.name.rsplit(".", 1)
        if stem.endswith("attn_sinks"):
            name = f"model.layers.{stem.split('.')[1]}.self_attn.sinks"
        elif stem.startswith("blk."):
            _, number, part = stem.split(".")
            name = f"model.layers.{number}.{layer[part]}.{kind}"
        else:
            name = f"{names[stem]}.{kind}"
        weights[name] = values
    return forward.network(open_checkpoint(checkpoint), weights)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # An orphan that nobody has buried yet is still listed, as a zombie.
    return not (
        status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"
    )


def gone_within(pid, seconds):
    end = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_server_ends_with_its_block_and_leaves_its_port(checkpoint):
    skip_without(GGUF)
    with (
        pytest.raises(KeyboardInterrupt),
        serving(GGUF, checkpoint) as server,
    ):
        raise KeyboardInterrupt
    assert not is_alive(server.pid)
    assert not server.log.exists()
    with serving(GGUF, checkpoint, port=server.port) as again:
        assert again.port == server.port


PARENT = (
    "import sys, time\n"
    "from igaku.lab.serve import serving\n"
    "with serving(*sys.argv[1:]) as server:\n"
    "    print(server.pid, flush=True); time.sleep(600)\n"
)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("slug", [MLX, GGUF])
def test_a_server_ends_when_its_parent_is_killed(checkpoint, slug):
    skip_without(slug)
    command = [sys.executable, "-c", PARENT, slug, str(checkpoint)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    assert gone_within(pid, 5)


@pytest.mark.skipif(os.name != "posix", reason="an interrupt is POSIX's")
def test_an_interrupt_ends_igaku_serve_and_its_server():
    skip_without(GGUF)
    script = (
        "import sys; from igaku.lab.serve import serve_forever\n"
        "serve_forever(sys.argv[1])\n"
    )
    command = [sys.executable, "-c", script, GGUF]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout.read() == f"{GGUF} is no longer served.\n"
        assert process.stderr.read() == ""
    assert said.startswith(f"{GGUF} answers at http://127.0.0.1:")
    assert gone_within(int(re.search(r"process (\d+)", said)[1]), 5)


def test_a_port_in_use_is_a_sentence(checkpoint):
    skip_without(GGUF)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = f"port {port} of 127.0.0.1 cannot be had"
        with (
            pytest.raises(IgakuError, match=sentence),
            serving(GGUF, checkpoint, port),
        ):
            pass
    with pytest.raises(IgakuError, match="port 70000"):
        serve_forever(GGUF, 70000)


@pytest.mark.parametrize("slug", [MLX, GGUF])
def test_an_engine_that_cannot_start_is_quoted(checkpoint, tmp_path, monkeypatch, slug):
    skip_without(slug)
    folder = quantize(slug, checkpoint, tmp_path / "variant")
    for model in (*folder.glob("*.gguf"), *folder.glob("*.safetensors")):
        os.truncate(model, 5000)
    monkeypatch.setattr(serve, "quantize", lambda *_: folder)
    monkeypatch.setattr(serve, "READY_SECONDS", 30)
    before = set(tmp_path.parent.glob("igaku-lab-*"))
    with (
        pytest.raises(IgakuError, match=f"{slug} ") as problem,
        serving(slug, checkpoint),
    ):
        pass
    assert "\n" not in str(problem.value)
    assert "it printed nothing" not in str(problem.value)
    assert set(tmp_path.parent.glob("igaku-lab-*")) == before


def test_the_child_reaches_no_network_and_this_very_package():
    environment = serve._environment()
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    assert str(serve.PACKAGE.parent) in environment["PYTHONPATH"].split(os.pathsep)


@pytest.mark.skipif(
    not (EMBEDDED / "model.safetensors").exists(),
    reason="the trained weights are not in this checkout",
)
@pytest.mark.parametrize("slug", ["lab-mxfp4-q8", GGUF])
def test_the_embedded_model_reasons_and_answers_over_http(slug):
    """The two dialects: harmony in the content, and split by the server."""
    skip_without(slug)
    from igaku.ask.prompt import load_prompt, messages
    from igaku.exam.questions import load_exam

    question = load_exam("calibration")[0]
    asked = messages(load_prompt("baseline"), question)
    with serving(slug) as server:
        status, answer = chat(server, asked, 160)
        cut_status, cut = chat(server, asked, 6)
    assert status == cut_status == 200
    message, choice = answer["choices"][0]["message"], answer["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert cut["choices"][0]["finish_reason"] == "length"
    if slug == GGUF:
        assert message["content"]
        assert message["reasoning_content"]
        assert not cut["choices"][0]["message"]["content"]
    else:
        assert message["content"].startswith("<|channel|>analysis<|message|>")
        assert "<|channel|>final<|message|>" in message["content"]
