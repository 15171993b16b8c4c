"""A stand-in of LM Studio: its dialect over HTTP, with the faults that users reported.

No model runs here. It loads and unloads names, replies what a test tells it to, and
thinks for as long as the reasoning effort that really reaches a model would have it.
`lms_program` writes a stand-in of its `lms` program. Numbers in brackets are issues of
LM Studio's tracker, or of `lms` where it is named.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

THOUGHT = {"low": 10, "medium": 40, "high": 160}  # tokens of reasoning by effort
LEVEL = re.compile(r"^Reasoning: (low|medium|high)\s*$", re.MULTILINE)
CONTEXT, LONGEST = 4096, 131_072  # tokens: what a model is loaded with, and its limit
PARALLEL = 4  # what REST and JIT load with
CRASH = (
    "Channel Error: The model has crashed without additional information. "
    "(Exit code: 6)"
)
TOO_BIG = (
    "Model loading was stopped due to insufficient system resources. Under the current "
    "settings, this model requires approximately 24.10 GB of memory."
)


@dataclass(frozen=True)
class Weights:
    """A downloaded model, or one variant of it."""

    key: str
    variant: str | None
    format: str
    quantization: str
    bits: float
    gigabytes: float
    reasoning: str | None = None  # the default effort, of hub models only

    @property
    def name(self) -> str:
        return f"{self.key}@{self.variant}" if self.variant else self.key

    @property
    def size_bytes(self) -> int:
        return round(self.gigabytes * 1e9)

    @property
    def arch(self) -> str:
        return "gpt-oss" if self.format == "gguf" else "gpt_oss"

    @property
    def publisher(self) -> str:
        return self.key.partition("/")[0] if "/" in self.key else "lmstudio-community"


# The six of params/*.yaml; how LM Studio names mixed quantizations is not on record.
SEED = (
    Weights("openai/gpt-oss-20b", "8bit", "mlx", "8bit", 8, 22.26, "low"),
    Weights("openai/gpt-oss-20b", "mxfp4", "gguf", "MXFP4", 4, 12.11, "low"),
    Weights("mlx-community/gpt-oss-20b-mxfp4-q8", None, "mlx", "MXFP4", 4, 12.10),
    Weights("mlx-community/gpt-oss-20b-mxfp4-q4", None, "mlx", "MXFP4", 4, 11.21),
    Weights("inferenceillusionist/gpt-oss-20b-mlx", None, "mlx", "4bit", 4, 11.80),
    Weights("gpt-oss-safeguard-20b-mlx", None, "mlx", "MXFP4", 4, 11.15),
)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one model, named as `Weights.name` names it."""

    loads: str | None = None  # these weights instead, under their own name
    refuses: str | None = None  # to load, with this text
    status: int = 500  # of that refusal
    takes: float = 0.0  # seconds to load
    lag: float = 0.0  # seconds from being loaded to being listed
    crashes_after: int | None = None  # replies; then it has to be loaded again
    crashes: int = 1  # how often
    says: str | None = None  # as an error with status 200, for every reply
    fits: int | None = None  # the context that the MLX engine loads instead (#2287)
    stale: int | None = None  # the reply of this number, from 1, is the one before
    cached: int | None = None  # tokens of a prompt, told in usage; None: untold (#2419)
    efforts: tuple[str, ...] | None = None  # that chats take: others are a 400 (1.10)


@dataclass
class Instance:
    """A loaded model."""

    id: str
    asked: str  # the name it was loaded by, which a fault may belie
    weights: Weights
    config: dict[str, Any]
    listed_from: float
    is_jit: bool


@dataclass(frozen=True)
class Spoken:
    """What a model generated, before an interface wraps it."""

    held: Instance
    text: str
    thought: int
    tokens: int
    prompt: int
    is_cut: bool
    cached: int | None = None
    number: int = 0  # of the request
    mused: str = "hm"  # over and over

    @property
    def reasoning(self) -> str:
        return " ".join([self.mused] * self.thought)


class _Refused(Exception):
    def __init__(self, status: int, error: Any):
        super().__init__(error)
        self.status, self.body = status, {"error": error}


class LMStudio:
    """The server, for the time of a `with`; `answer` gets a body and its number."""

    def __init__(
        self,
        answer: Callable[[dict[str, Any], int], str] = lambda asked, number: "c",
        faults: Mapping[str, Fault] | None = None,
        catalogue: Sequence[Weights] = SEED,
        *,
        jit: bool = True,  # a request loads what it names (1.13)
        jit_delay: float = 0.0,
        pause: float = 0.0,  # seconds that a reply takes
        overflow: int = 400,  # status of a prompt over the context; 0.4.21: 200 (1.14)
        unknown_path: int = 200,  # (1.14)
        token: str | None = None,
        variants: bool = True,  # False: the load request finds none by name (#1462)
        lms_variants: bool = True,  # False: nor does `lms load` (#1462, lms#588)
        variant_ids: bool = False,  # True: an instance is named after its variant
        selected: str | None = None,  # under My Models: listed whatever is loaded
        v0: bool = True,
        v1: bool = True,  # False: an LM Studio before 0.4
    ):
        self.answer, self.faults, self.catalogue = answer, dict(faults or {}), catalogue
        self.jit, self.jit_delay, self.pause = jit, jit_delay, pause
        self.variants, self.lms_variants = variants, lms_variants
        self.variant_ids, self.selected = variant_ids, selected
        self.overflow, self.unknown_path, self.token = overflow, unknown_path, token
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.loads: list[tuple[str, dict[str, Any]]] = []  # by a request: without body
        self.unloads: list[str] = []
        self.commands: list[list[str]] = []  # of the lms program
        self.instances: list[Instance] = []
        self._replies, self._crashes = Counter[str](), Counter[str]()
        self._last: dict[str, Spoken] = {}  # reply of each model
        self._down: set[str] = set()  # crashed, and not loaded again since
        self._turn = threading.RLock()
        self._doors = self._opened(v0, v1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> LMStudio:
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def loaded(self) -> list[str]:
        """The names of the weights that are in memory."""
        return [held.weights.name for held in self.instances]

    def told(self, door: str, body: dict[str, Any], key: str) -> tuple[int, Any]:
        """Status and body of the answer to a request, as `GET /v1/models`."""
        if door == "POST /stand-in/lms":
            return 200, self._lms(body["words"])
        if self.token and key != f"Bearer {self.token}":
            return 401, {"error": {"message": "This server asks for an API token."}}
        if door not in self._doors:
            error = f"Unexpected endpoint or method. ({door})"
            return self.unknown_path, {"error": error}
        try:
            return 200, self._doors[door](body)
        except _Refused as refused:
            return refused.status, refused.body

    def _opened(self, v0: bool, v1: bool) -> dict[str, Callable[[Any], Any]]:
        doors: dict[str, Callable[[Any], Any]] = {
            "GET /v1/models": self._openai_models,
            "POST /v1/chat/completions": self._chat,
            "POST /v1/responses": self._responses,
        }
        if v0:
            doors["GET /api/v0/models"] = self._v0_models
            doors["POST /api/v0/chat/completions"] = self._v0_chat
        if v1:
            doors["GET /api/v1/models"] = self._v1_models
            doors["POST /api/v1/models/load"] = self._v1_load
            doors["POST /api/v1/models/unload"] = self._v1_unload
        return doors

    # Listings (1.2 to 1.4)

    def _listed(self, key: str | None = None) -> list[Instance]:
        now = time.monotonic()
        seen = [held for held in self.instances if held.listed_from <= now]
        return [held for held in seen if key in (None, held.weights.key)]

    def _keys(self) -> list[str]:
        return list(dict.fromkeys(weights.key for weights in self.catalogue))

    def _selected(self, key: str) -> Weights:
        """The variant that a listing describes: the chosen one (lms#352), if any.

        Without a choice it is the loaded one, else the first.
        """
        held = self._listed(key)
        is_open = held and self._chosen(key) is None
        return held[0].weights if is_open else self._found(key)

    def _chosen(self, key: str) -> str | None:
        """The name of the variant chosen under My Models."""
        is_its = self.selected and self.selected.partition("@")[0] == key
        return self.selected if is_its else None

    def _found(self, name: str) -> Any:
        """The weights of a name; a key alone means the chosen variant."""
        return _found(self.catalogue, self._chosen(name) or name)

    def _openai_models(self, _: Any) -> dict[str, Any]:
        downloaded = self._keys() if self.jit else []
        names = [held.id for held in self._listed()] + downloaded
        rows = [{"id": n, "object": "model"} for n in dict.fromkeys(names)]
        return {"object": "list", "data": rows}

    def _v0_models(self, _: Any) -> dict[str, Any]:
        rows = [_v0_row(held.weights, held) for held in self._listed()]
        free = [key for key in self._keys() if not self._listed(key)]
        rows += [_v0_row(self._selected(key)) for key in free]
        return {"object": "list", "data": rows}

    def _v1_models(self, _: Any) -> dict[str, Any]:
        return {"models": [self._v1_row(key) for key in self._keys()]}

    def _v1_row(self, key: str) -> dict[str, Any]:
        weights = self._selected(key)
        row = {"type": "llm", "publisher": weights.publisher, "key": key}
        row |= {"display_name": key.rpartition("/")[2], "architecture": weights.arch}
        coding = {"name": weights.quantization, "bits_per_weight": weights.bits}
        row |= {"quantization": coding, "size_bytes": weights.size_bytes}
        row |= {"format": weights.format, "max_context_length": LONGEST}
        held = [{"id": it.id, "config": it.config} for it in self._listed(key)]
        row |= {"params_string": "20B", "loaded_instances": held}
        row["capabilities"] = {"vision": False, "trained_for_tool_use": True}
        if weights.reasoning:
            allowed = self.faults.get(weights.name, Fault()).efforts or THOUGHT
            options = {"allowed_options": list(allowed), "default": weights.reasoning}
            row["capabilities"]["reasoning"] = options
        if weights.variant:
            row["variants"] = [w.name for w in self.catalogue if w.key == key]
            row["selected_variant"] = weights.name
        return row

    # Loading (1.13)

    def _v1_load(self, body: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        if "@" in body["model"] and not self.variants:
            told = f"Model {body['model']} not found in downloaded models"
            raise _Refused(404, {"type": "model_not_found", "message": told})
        held = self._load(body["model"], body, body.get("context_length", CONTEXT))
        took = time.monotonic() - began
        said = {"type": "llm", "instance_id": held.id, "load_time_seconds": took}
        # Only the listing tells `parallel`, and the context that there is.
        config = {k: v for k, v in held.config.items() if k != "parallel"}
        config["context_length"] = body.get("context_length", CONTEXT)
        echo = {"load_config": config} if body.get("echo_load_config") else {}
        return said | {"status": "loaded"} | echo

    def _v1_unload(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._turn:
            kept = [it for it in self.instances if it.id != body["instance_id"]]
            if len(kept) == len(self.instances):
                told = {"type": "model_not_found", "message": "No such instance."}
                raise _Refused(404, told)
            self.instances = kept
            self.unloads.append(body["instance_id"])
        return {"instance_id": body["instance_id"]}

    def _load(
        self, name: str, body: dict[str, Any], context: int = CONTEXT, **how: Any
    ) -> Instance:
        with self._turn:
            self.loads.append((name, body))
            weights = self._found(name)
            if weights is None:
                told = {"type": "model_not_found", "message": f"{name} is not here."}
                raise _Refused(404, told)
            fault = self.faults.get(weights.name, Fault())
            if fault.refuses:
                told = {"type": "model_load_failed", "message": fault.refuses}
                raise _Refused(fault.status, told)
            time.sleep(fault.takes)
            weights = _found(self.catalogue, fault.loads or weights.name)
            self._down.discard(weights.name)
            parallel = how.get("parallel", PARALLEL)
            is_fitted = fault.fits and _is_batched(weights, parallel)
            context = fault.fits if is_fitted else context
            config = {"context_length": context, "flash_attention": True}
            config["parallel"] = parallel
            own = weights.name if self.variant_ids else weights.key
            id = self._free(how.get("identifier") or own)
            listed, is_jit = time.monotonic() + fault.lag, how.get("is_jit", False)
            held = Instance(id, name, weights, config, listed, is_jit)
            self.instances.append(held)
            return held

    def _free(self, name: str) -> str:
        """A second instance of a name gets a number (1.5)."""
        taken = {held.id for held in self.instances}
        names = [name] + [f"{name}:{n}" for n in range(2, 9)]
        return next(it for it in names if it not in taken)

    def _held(self, name: str) -> Instance:
        """The instance that replies to a request: not always the one it names."""
        with self._turn:
            for held in self.instances:
                if name in (held.id, held.asked, held.weights.name):
                    return held
            weights = self._found(name)
            # A crashed model is not loaded by the next request (#1730).
            if weights and self.jit and weights.name not in self._down:
                self.instances = [it for it in self.instances if not it.is_jit]
                time.sleep(self.jit_delay)
                return self._load(name, {}, is_jit=True)
            if len(self.instances) == 1:
                return self.instances[0]  # whatever was asked for (#619)
            raise _Refused(*self._no_model(name))

    def _no_model(self, name: str) -> tuple[int, dict[str, Any]]:
        told = {"type": "invalid_request_error", "param": "model"}
        if not self.instances:
            text = "No models loaded. Please load a model in the developer page."
            return 400, told | {"message": text, "code": None}
        names = "\n".join(held.id for held in self.instances)
        text = f'Model "{name}" not found. Your models:\n\n{names}'
        return 404, told | {"message": text, "code": "model_not_found"}

    # Replies (1.6, 1.7, 1.9)

    def _chat(self, body: dict[str, Any]) -> Any:
        # `reasoning_effort` is not read here (1.10).
        path = "/v1/chat/completions"
        return _completion(self._spoken(path, body, body.get("max_tokens")))

    def _v0_chat(self, body: dict[str, Any]) -> Any:
        path = "/api/v0/chat/completions"
        spoken = self._spoken(path, body, body.get("max_tokens"))
        return _completion(spoken) | _statistics(spoken)

    def _responses(self, body: dict[str, Any]) -> Any:
        chat = body["input"]
        if isinstance(chat, str):
            chat = [{"role": "user", "content": chat}]
        if body.get("instructions"):
            chat = [{"role": "system", "content": body["instructions"]}, *chat]
        effort = (body.get("reasoning") or {}).get("effort")
        asked, budget = body | {"messages": chat}, body.get("max_output_tokens")
        said = _response(self._spoken("/v1/responses", asked, budget, effort))
        if "message.output_text.logprobs" in body.get("include", []):
            for part in said["output"][1:]:  # asked for, and empty (#1420)
                part["content"][0]["logprobs"] = []
        return said

    def _spoken(
        self,
        path: str,
        asked: dict[str, Any],
        budget: int | None,
        effort: str | None = None,
    ) -> Spoken:
        held = self._held(asked["model"])
        with self._turn:
            self.asked.append((path, asked))
            number = len(self.asked)
            self._stumble(held)
        fault = self.faults.get(held.weights.name, Fault())
        _refuse_effort(fault, asked.get("reasoning_effort") or effort)
        chat = _heard(asked["messages"])
        prompt = sum(len(_text(m)) for m in chat) // 2 + 10
        if prompt > held.config["context_length"]:
            raise _Refused(self.overflow, _overflow(prompt, held))
        time.sleep(self.pause)
        thought = THOUGHT[_effort(held.weights, chat, effort)]
        reached = asked | {"messages": chat}
        if _is_batched(held.weights, held.config["parallel"]):
            reached.pop("seed", None)  # (#2399)
        text = self.answer(reached, number)
        spoken = _within(budget, held, text, thought, prompt)
        spoken = replace(spoken, cached=fault.cached, number=number)
        # No two thoughts are alike.
        return self._stale(fault, replace(spoken, mused=f"hm{number}"))

    def _stale(self, fault: Fault, spoken: Spoken) -> Spoken:
        """The reply, or what the model said to the prompt before, with status 200."""
        name = spoken.held.weights.name
        with self._turn:
            is_stale = self._replies[name] == fault.stale
            said = self._last.get(name, spoken) if is_stale else spoken
            self._last[name] = said
        return replace(said, number=spoken.number)

    def _stumble(self, held: Instance) -> None:
        """Fail as the model's fault has it, or count one more reply."""
        name = held.weights.name
        fault = self.faults.get(name, Fault())
        if fault.says:
            raise _Refused(200, fault.says)
        is_due = self._replies[name] == fault.crashes_after
        if is_due and self._crashes[name] < fault.crashes:
            self._crashes[name] += 1
            self._replies[name] = 0
            self._down.add(name)
            self.instances = [it for it in self.instances if it is not held]
            raise _Refused(400, CRASH)
        self._replies[name] += 1

    # The lms program (1.5)

    def _lms(self, words: list[str]) -> dict[str, Any]:
        self.commands.append(words)
        out, error = "", ""
        try:
            out = self._carried_out(*words)
        except _Refused as refused:
            error = f"Error: {refused.body['error']['message']}"
        return {"code": 1 if error else 0, "out": out, "error": error}

    def _carried_out(self, verb: str, *words: str) -> str:
        if verb == "server":
            status = {"running": True, "port": self._server.server_port}
            return json.dumps(status)
        if verb == "ps":
            return json.dumps([_ps_row(held) for held in self.instances])
        if verb == "unload":
            self._v1_unload({"instance_id": words[0]})
            return ""
        if "@" in words[0] and not self.lms_variants:
            raise _Refused(404, {"message": "Model not found"})
        flags = dict(zip(words[1:-1:2], words[2:-1:2], strict=True))
        name, parallel = flags["--identifier"], int(flags["--parallel"])
        length = int(flags["--context-length"])
        self._load(words[0], flags, length, identifier=name, parallel=parallel)
        return ""


def _found(catalogue: Sequence[Weights], name: str) -> Any:
    """The weights of a name; a key alone means its first variant."""
    return next((it for it in catalogue if name in (it.name, it.key)), None)


def _v0_row(weights: Weights, held: Instance | None = None) -> dict[str, Any]:
    row = {"id": held.id if held else weights.key, "object": "model", "type": "llm"}
    row |= {"publisher": weights.publisher, "arch": weights.arch}
    row |= {"compatibility_type": weights.format, "quantization": weights.quantization}
    row |= {"state": "loaded" if held else "not-loaded", "max_context_length": LONGEST}
    length = {"loaded_context_length": held.config["context_length"]} if held else {}
    return row | length


def _ps_row(held: Instance) -> dict[str, Any]:
    row = {"type": "llm", "identifier": held.id, "modelKey": held.weights.key}
    row |= {"sizeBytes": held.weights.size_bytes, "status": "idle"}
    row["contextLength"] = held.config["context_length"]
    return row | {"parallel": held.config["parallel"]}


def _text(message: Mapping[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _is_batched(weights: Weights, parallel: int) -> bool:
    """Whether the MLX engine that serves several at once has the model (#2399)."""
    return weights.format == "mlx" and parallel > 1


def _heard(chat: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages that reach gpt-oss: of the system's and developer's one (#2264)."""
    told = [m for m in chat if m["role"] in ("system", "developer")]
    return [m for m in chat if m not in told[1:]]


def _refuse_effort(fault: Fault, effort: str | None) -> None:
    if fault.efforts is None or effort is None or effort in fault.efforts:
        return
    told = {"type": "invalid_request_error", "param": "reasoning_effort"}
    text = f"Reasoning setting '{effort}' is not supported by this model."
    raise _Refused(400, told | {"message": text})


def _effort(
    weights: Weights, chat: Sequence[Mapping[str, Any]], told: str | None
) -> str:
    """The effort that reaches the model (1.10): a system line, the field, a default."""
    system = "\n".join(_text(m) for m in chat if m["role"] in ("system", "developer"))
    line = LEVEL.findall(system)
    if line:
        return line[-1]
    return (told or weights.reasoning) if weights.reasoning else "medium"


def _within(
    budget: int | None, held: Instance, text: str, thought: int, prompt: int
) -> Spoken:
    """What of a reply fits its budget, at which the count is one short (#2335)."""
    words = text.split()
    tokens = thought + max(len(words), 1)
    if budget is None or budget < 0 or tokens <= budget:
        return Spoken(held, text, thought, tokens, prompt, False)
    tokens = budget - 1
    said = " ".join(words[: max(tokens - thought, 0)])
    return Spoken(held, said, min(thought, tokens), tokens, prompt, True)


def _overflow(prompt: int, held: Instance) -> str:
    length = held.config["context_length"]
    return (
        f"Trying to keep the first {prompt} tokens when context the overflows. "
        f"However, the model is loaded with context length of only {length} tokens"
    )


def _completion(spoken: Spoken) -> dict[str, Any]:
    message = {"role": "assistant", "content": spoken.text, "tool_calls": []}
    why = "length" if spoken.is_cut else "stop"
    choice = {"index": 0, "logprobs": None, "finish_reason": why}
    choice["message"] = message | {"reasoning": spoken.reasoning}
    usage = {"prompt_tokens": spoken.prompt, "completion_tokens": spoken.tokens}
    usage["total_tokens"] = spoken.prompt + spoken.tokens
    usage["completion_tokens_details"] = {"reasoning_tokens": spoken.thought}
    if spoken.cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": spoken.cached}
    reply = {
        "id": f"chatcmpl-{spoken.number}",
        "object": "chat.completion",
        "created": 1770480000,
    }
    reply |= {"model": spoken.held.id, "system_fingerprint": spoken.held.id}
    return reply | {"choices": [choice], "usage": usage, "stats": {}}


def _statistics(spoken: Spoken) -> dict[str, Any]:
    """What only /api/v0 adds to a reply."""
    weights = spoken.held.weights
    why = "maxPredictedTokensReached" if spoken.is_cut else "eosFound"
    stats = {"tokens_per_second": 50.0, "time_to_first_token": 0.1}
    stats |= {"generation_time": spoken.tokens / 50, "stop_reason": why}
    model = {"arch": weights.arch, "quant": weights.quantization}
    model |= {"format": weights.format}
    model |= {"context_length": spoken.held.config["context_length"]}
    engine = "llama.cpp" if weights.format == "gguf" else "mlx-llm"
    runtime = {"name": f"{engine}-mac-arm64-apple-metal-advsimd", "version": "2.5.1"}
    runtime |= {"supported_formats": [weights.format]}
    return {"stats": stats, "model_info": model, "runtime": runtime}


def _response(spoken: Spoken) -> dict[str, Any]:
    thought = {"type": "reasoning_text", "text": spoken.reasoning}
    items: list[Any] = [{"type": "reasoning", "summary": [], "content": [thought]}]
    if spoken.text:
        said = {"type": "output_text", "text": spoken.text, "annotations": []}
        items.append({"type": "message", "role": "assistant", "content": [said]})
    usage = {"input_tokens": spoken.prompt, "output_tokens": spoken.tokens}
    usage["total_tokens"] = spoken.prompt + spoken.tokens
    usage["output_tokens_details"] = {"reasoning_tokens": spoken.thought}
    why = {"reason": "max_output_tokens"} if spoken.is_cut else None
    reply = {
        "id": f"resp_{spoken.number}",
        "object": "response",
        "error": None,
        "output": items,
    }
    reply |= {"status": "incomplete" if why else "completed", "incomplete_details": why}
    return reply | {"model": spoken.held.id, "usage": usage}


def _handler(stand_in: LMStudio) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(json.loads(sent))

        def _answer(self, body: dict[str, Any]) -> None:
            key = self.headers.get("Authorization", "")
            status, said = stand_in.told(f"{self.command} {self.path}", body, key)
            is_text = isinstance(said, str)  # of a test, and no JSON
            sent = (said if is_text else json.dumps(said, ensure_ascii=False)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


LMS = """#!{python} -SE
import http.client, json, sys
server = http.client.HTTPConnection("127.0.0.1", {port})
server.request("POST", "/stand-in/lms", json.dumps({{"words": sys.argv[1:]}}))
done = json.load(server.getresponse())
print(done["out"])
print(done["error"], file=sys.stderr)
sys.exit(done["code"])
"""


def lms_program(folder: Path, server: LMStudio) -> Path:
    """A stand-in of the `lms` program in a folder, which hands all to the server."""
    port = server.base_url.removesuffix("/v1").rpartition(":")[2]
    program = folder / "lms"
    program.write_text(LMS.format(python=sys.executable, port=port), encoding="utf-8")
    program.chmod(0o755)
    return program
