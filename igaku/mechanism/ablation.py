"""The ablations: one component of the embedded model at few bits, the rest untouched.

"Untouched" is float32, so that a change of accuracy, chain length or silence has one
cause. The component is really quantized (MLX's affine groups of 64, or MXFP4) and its
decoded values, which are what an engine multiplies by, run in the numpy reference.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from igaku.errors import IgakuError
from igaku.lab import forward, mxfp4
from igaku.lab.checkpoint import COMPONENTS, Checkpoint, open_checkpoint
from igaku.lab.engines import MLX, missing_writer
from igaku.lab.gguf_file import chat_template
from igaku.lab.recipes import EMBEDDED, RECIPES, Coding, find_recipe

FINAL = "<|channel|>final<|message|>"
GROUP = 64
BITS = (2, 3, 4, 6, 8, "mxfp4")

Chat = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Ablation:
    """One component at `bits`: 2, 3, 4, 6, 8 or "mxfp4"; the rest stays float32.

    Component "reference" is the model with nothing coded, "non-experts" has all but
    the experts coded, "all" has everything coded, and "recipe" is coded as the recipe
    whose name stands in the place of the bits.
    """

    component: str
    bits: int | str | None = None

    @property
    def label(self) -> str:
        """A short name for tables: "router 2-bit", "reference"."""
        if self.component == "reference":
            return self.component
        if self.component == "recipe":
            return str(self.bits)
        bits = self.bits if self.bits == "mxfp4" else f"{self.bits}-bit"
        return f"{self.component} {bits}"


REFERENCE = Ablation("reference")
GROUPS = {
    "non-experts": tuple(name for name in COMPONENTS if name != "experts"),
    "all": COMPONENTS,
}
GRID = (
    REFERENCE,
    *(Ablation(c, b) for c in (*COMPONENTS, *GROUPS) for b in (4, 3, 2)),
)
RECIPE_GRID = (
    REFERENCE,
    *(Ablation("recipe", slug) for slug in RECIPES if slug != "float32"),
)


@dataclass(frozen=True)
class AblatedReply:
    """One reply under an ablation; `text` is raw harmony without its <|return|>."""

    component: str
    bits: int | str | None
    problem_id: str
    text: str
    tokens: int
    prompt_tokens: int
    reached_final: bool
    finish_reason: str

    @property
    def body(self) -> dict[str, Any]:
        """The reply as mlx_lm's server words it, for what reads servers' replies."""
        message = {"role": "assistant", "content": self.text or None}
        choice = {"index": 0, "finish_reason": self.finish_reason, "message": message}
        usage = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }
        return {"object": "chat.completion", "choices": [choice], "usage": usage}


def ablate(
    component: str,
    bits: int | str | None,
    chats: Mapping[str, Chat],
    max_tokens: int = 128,
    reasoning_effort: str | None = None,
    checkpoint: str | Path | None = None,
) -> list[AblatedReply]:
    """The greedy reply to every chat (by problem id) under one ablation."""
    ablation = _checked(Ablation(component, bits))
    source = open_checkpoint(checkpoint or EMBEDDED)
    tokenizer = _tokenizer(source.folder)
    prompts = [
        tokenizer.encode(
            render(source.folder, chat, reasoning_effort), add_special_tokens=False
        ).ids
        for chat in chats.values()
    ]
    net = forward.network(source, ablated_weights(source, ablation))
    stop = tokenizer.token_to_id("<|return|>")
    replies = forward.generate(net, prompts, max_tokens, {stop})
    return [
        _reply(ablation, key, prompt, generated, tokenizer)
        for key, prompt, generated in zip(chats, prompts, replies, strict=True)
    ]


def ablations(
    chats: Mapping[str, Chat],
    grid: Sequence[Ablation] = GRID,
    max_tokens: int = 128,
    reasoning_effort: str | None = None,
    checkpoint: str | Path | None = None,
    workers: int | None = None,
) -> Iterator[tuple[Ablation, list[AblatedReply]]]:
    """Every ablation of `grid`, each as soon as it is done, one process per core."""
    for ablation in grid:
        _checked(ablation)
    spawn = multiprocessing.get_context("spawn")
    workers = min(workers or os.cpu_count() or 1, len(grid))
    with _one_thread_each(), ProcessPoolExecutor(workers, spawn) as pool:
        asked = {
            pool.submit(
                ablate,
                ablation.component,
                ablation.bits,
                chats,
                max_tokens,
                reasoning_effort,
                checkpoint,
            ): ablation
            for ablation in grid
        }
        for done in as_completed(asked):
            yield asked[done], done.result()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children started here compute on one thread: matrices are small, and threads
    that wait for each other on busy cores cost more than they bring.
    """
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _checked(ablation: Ablation) -> Ablation:
    if ablation.component == "recipe":
        find_recipe(str(ablation.bits))
    elif ablation.component not in (*COMPONENTS, *GROUPS, "reference"):
        known = ", ".join(COMPONENTS)
        raise IgakuError(
            f"there is no component {ablation.component!r}: choose one of {known}, "
            f'"non-experts", "all" or "reference".'
        )
    elif ablation.component != "reference" and ablation.bits not in BITS:
        raise IgakuError(
            f'{ablation.bits!r} bits cannot be had: choose 2, 3, 4, 6, 8 or "mxfp4".'
        )
    if reason := missing_writer(MLX):
        raise IgakuError(f"the ablations cannot run here: {reason}.")
    return ablation


def ablated_weights(source: Checkpoint, ablation: Ablation) -> dict[str, np.ndarray]:
    """The checkpoint's weights with the ablated component quantized and decoded."""
    weights = dict(_plain(source.folder))
    for path, component in source.parts():
        name = f"{path}.weight"
        for bits in _codings(ablation, component):
            weights[name] = rounded(weights[name], bits)
    return weights


def _codings(ablation: Ablation, component: str) -> tuple[int | str | None, ...]:
    """What a component's matrices are coded at, one coding after the other."""
    if ablation.component != "recipe":
        touched = GROUPS.get(ablation.component, (ablation.component,))
        return (ablation.bits,) if component in touched else ()
    coding = find_recipe(str(ablation.bits)).codings[component]
    if coding is None:
        return ()
    last = coding.bits if coding.mode == "affine" else coding.mode
    # The release has its experts in MXFP4, and every recipe starts from there.
    return (last,) if component != "experts" or last == "mxfp4" else ("mxfp4", last)


@cache
def _plain(folder: Path) -> dict[str, np.ndarray]:
    return forward.plain_weights(open_checkpoint(folder))


def rounded(values: np.ndarray, bits: int | str | None) -> np.ndarray:
    """The values a matrix has left after coding at `bits`."""
    if bits == "mxfp4":
        return mxfp4.encode(values).decode()
    if bits == "q8_0":
        return _q8_0(values)
    import mlx.core as mx

    coding = Coding("affine", int(bits or 8), GROUP)
    pieces = mx.quantize(mx.array(values), coding.group, coding.bits)
    return np.array(mx.dequantize(*pieces, coding.group, coding.bits))


def _q8_0(values: np.ndarray) -> np.ndarray:
    """The values left by GGUF's Q8_0: 32 signed bytes to a half-precision scale."""
    groups = values.reshape(*values.shape[:-1], -1, 32)
    scale = np.abs(groups).max(axis=-1, keepdims=True) / 127
    codes = np.divide(groups, scale, out=np.zeros_like(groups), where=scale > 0)
    kept = np.rint(codes) * scale.astype(np.float16).astype(np.float32)
    return kept.reshape(values.shape).astype(np.float32)


@cache
def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@cache
def _template(folder: Path) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return jinja.from_string(chat_template(folder))


def render(folder: Path, chat: Chat, reasoning_effort: str | None = None) -> str:
    """A chat as the model reads it, by the checkpoint's own template."""
    effort = {"reasoning_effort": reasoning_effort} if reasoning_effort else {}
    text: str = _template(folder).render(
        messages=list(chat), add_generation_prompt=True, **effort
    )
    return text


def _reply(
    ablation: Ablation,
    key: str,
    prompt: Sequence[int],
    generated: forward.Generated,
    tokenizer: Any,
) -> AblatedReply:
    text = tokenizer.decode(generated.tokens, skip_special_tokens=False)
    return AblatedReply(
        component=ablation.component,
        bits=ablation.bits,
        problem_id=key,
        text=text,
        # The engines count the stop token too.
        tokens=len(generated.tokens) + generated.stopped,
        prompt_tokens=len(prompt),
        reached_final=FINAL in text,
        finish_reason="stop" if generated.stopped else "length",
    )
