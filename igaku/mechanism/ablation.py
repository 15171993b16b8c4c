"""The ablations: one component of the embedded model at few bits, the rest untouched.

"Untouched" is float32, so that a change of accuracy, chain length or silence has one
cause. The component is really quantized (MLX's affine groups of 64, or MXFP4) and its
decoded values, which are what an engine multiplies by, run in the numpy reference.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from igaku.errors import IgakuError
from igaku.lab import forward, mxfp4
from igaku.lab.checkpoint import COMPONENTS, Checkpoint, open_checkpoint
from igaku.lab.engines import missing_writer
from igaku.lab.gguf_file import chat_template
from igaku.lab.recipes import MLX, MXFP4, RECIPES, VARIANTS, Coding
from igaku.lab.variants import EMBEDDED

FINAL = "<|channel|>final<|message|>"
GROUP = 64
BITS = (2, 3, 4, 6, 8)
REFERENCE = "reference"
GROUPS = {
    "non-experts": tuple(name for name in COMPONENTS if name != "experts"),
    "all": COMPONENTS,
}
KINDS = (*COMPONENTS, *GROUPS)

Chat = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Ablation:
    """What is coarse: one component at some bits; the rest stays float32.

    Beside the components of a checkpoint ("router") there are "non-experts" for all but
    the experts, "all", a recipe's slug, which says itself how everything is coded, and
    "reference", with nothing coded.
    """

    component: str = REFERENCE
    bits: int | None = None


PARTS = (Ablation(), *(Ablation(name, bits) for name in KINDS for bits in (4, 3, 2)))
WHOLE = (Ablation(), *map(Ablation, VARIANTS))


@dataclass(frozen=True)
class AblatedReply:
    """One reply under an ablation; `text` is raw harmony without its <|return|>."""

    problem_id: str
    text: str
    tokens: int
    prompt_tokens: int
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
    ablation: Ablation,
    chats: Mapping[str, Chat],
    max_tokens: int = 128,
    reasoning_effort: str | None = None,
    checkpoint: str | Path | None = None,
) -> list[AblatedReply]:
    """The greedy reply to every chat (by problem id) under one ablation."""
    from tokenizers import Tokenizer

    source = open_checkpoint(checkpoint or EMBEDDED)
    tokenizer: Any = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    prompts = [
        tokenizer.encode(text, add_special_tokens=False).ids
        for text in _rendered(source.folder, chats.values(), reasoning_effort)
    ]
    net = forward.network(source, ablated_weights(source, checked(ablation)))
    stop = tokenizer.token_to_id("<|return|>")
    replies = forward.generate(net, prompts, max_tokens, {stop})
    return [
        AblatedReply(
            key,
            tokenizer.decode(generated.tokens, skip_special_tokens=False),
            # The engines count the stop token too.
            len(generated.tokens) + generated.stopped,
            len(prompt),
            "stop" if generated.stopped else "length",
        )
        for key, prompt, generated in zip(chats, prompts, replies, strict=True)
    ]


def ablations(
    chats: Mapping[str, Chat],
    cases: Iterable[tuple[Ablation, str | None]],
    max_tokens: int = 128,
    checkpoint: str | Path | None = None,
    workers: int | None = None,
) -> Iterator[tuple[tuple[Ablation, str | None], list[AblatedReply]]]:
    """Every case, an ablation at an effort, once it is done, one process per core."""
    cases = [(checked(ablation), effort) for ablation, effort in cases]
    spawn = multiprocessing.get_context("spawn")
    workers = min(workers or os.cpu_count() or 1, len(cases))
    # Matrices are small: threads that wait for each other cost more than they bring.
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    with (
        patch.dict(os.environ, dict.fromkeys(names, "1")),  # of the children
        ProcessPoolExecutor(workers, spawn) as pool,
    ):
        asked = {
            pool.submit(ablate, case[0], chats, max_tokens, case[1], checkpoint): case
            for case in cases
        }
        for done in as_completed(asked):
            yield asked[done], done.result()


def checked(ablation: Ablation) -> Ablation:
    """The ablation, if there is such a component, such bits, and MLX to code it."""
    name, bits = ablation.component, ablation.bits
    if name not in (REFERENCE, *KINDS, *RECIPES):
        known = ", ".join((*KINDS, *RECIPES, REFERENCE))
        raise IgakuError(f"there is no component {name!r}: choose one of {known}.")
    if name in KINDS and bits not in BITS:
        raise IgakuError(f"{bits!r} bits cannot be had: choose 2, 3, 4, 6 or 8.")
    if reason := missing_writer(MLX):
        raise IgakuError(f"the ablations cannot run here: {reason}.")
    return ablation


def ablated_weights(source: Checkpoint, ablation: Ablation) -> dict[str, np.ndarray]:
    """The checkpoint's weights with the ablated component quantized and decoded."""
    weights = forward.plain_weights(source)
    for path, component in source.parts():
        name = f"{path}.weight"
        for coding in _codings(ablation, component):
            weights[name] = rounded(weights[name], coding)
    return weights


def _codings(ablation: Ablation, component: str) -> tuple[Coding, ...]:
    """What a component's matrices are coded in, one coding after the other."""
    if ablation.component not in RECIPES:
        touched = GROUPS.get(ablation.component, (ablation.component,))
        bits = ablation.bits if component in touched else None
        return () if bits is None else (Coding("affine", bits, GROUP),)
    coding = RECIPES[ablation.component].codings[component]
    if coding is None:
        return ()
    # The release has its experts in MXFP4, and every recipe starts from there.
    return (coding,) if component != "experts" or coding == MXFP4 else (MXFP4, coding)


def rounded(values: np.ndarray, coding: Coding) -> np.ndarray:
    """The values a matrix has left in a coding."""
    if coding.mode == "mxfp4":
        return mxfp4.encode(values).decode()
    if coding.mode == "q8_0":  # GGUF's: signed bytes to a half-precision scale
        groups = values.reshape(*values.shape[:-1], -1, coding.group)
        scale = np.abs(groups).max(axis=-1, keepdims=True) / 127
        codes = np.divide(groups, scale, out=np.zeros_like(groups), where=scale > 0)
        kept = np.rint(codes) * scale.astype(np.float16).astype(np.float32)
        return kept.reshape(values.shape).astype(np.float32)
    import mlx.core as mx

    pieces = mx.quantize(mx.array(values), coding.group, coding.bits)
    return np.array(mx.dequantize(*pieces, coding.group, coding.bits))


def _rendered(
    folder: Path, chats: Iterable[Chat], reasoning_effort: str | None
) -> Iterator[str]:
    """Chats as the model reads them, by the checkpoint's own template."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = jinja.from_string(chat_template(folder))
    told: dict[str, Any] = {"add_generation_prompt": True}
    if reasoning_effort:
        told["reasoning_effort"] = reasoning_effort
    return (template.render(messages=list(chat), **told) for chat in chats)
