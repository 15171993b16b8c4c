"""gpt-oss in numpy: the same arithmetic as the engines, float32 throughout.

It is the reference the engines are held against, and the ablations' own engine: MLX's
Linux wheel multiplies float32 matrices many times slower than numpy does. Positions are
plain rotary ones, so it suits the embedded model and not the release.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from igaku.errors import IgakuError
from igaku.lab.checkpoint import Checkpoint, as_float32

CLAMP, SLOPE = 7.0, 1.702  # of gpt-oss's SwiGLU
ROWS, PREFILL_ROWS = 64, 8  # prompts decoded, and first read, together
Array = np.ndarray


@dataclass(frozen=True)
class Network:
    """A gpt-oss ready to run: its config and float32 weights by MLX's names."""

    config: Mapping[str, Any]
    theta: float
    weights: Mapping[str, Array]

    def linear(self, path: str, x: Array, expert: Any = ...) -> Array:
        """The product with the matrix at `path`, or one expert's, its bias added."""
        matrix = self.weights[f"{path}.weight"][expert]
        y: Array = x @ matrix.T + self.weights[f"{path}.bias"][expert]
        return y

    def norm(self, path: str, x: Array) -> Array:
        """Root-mean-square normalisation with the weights at `path`."""
        mean = np.mean(x * x, axis=-1, keepdims=True)
        scale = 1 / np.sqrt(mean + np.float32(self.config["rms_norm_eps"]))
        y: Array = x * scale * self.weights[f"{path}.weight"]
        return y


class Generated(NamedTuple):
    """The tokens of one reply, and whether a stop token (kept out) ended it."""

    tokens: list[int]
    stopped: bool


def network(checkpoint: Checkpoint, weights: Mapping[str, Array]) -> Network:
    """A network of a checkpoint's sizes with the given weights."""
    theta, scaling = checkpoint.rope()
    if scaling is not None:
        raise IgakuError(
            f"{checkpoint.folder} scales its positions, which this reference does not: "
            f"it is for the embedded model."
        )
    return Network(checkpoint.config, theta, weights)


def plain_weights(checkpoint: Checkpoint) -> dict[str, Array]:
    """A checkpoint's weights in float32 by MLX's names, experts (expert, out, in)."""
    stored = checkpoint.tensors
    weights = {n: as_float32(stored[n]) for n in checkpoint.plain_tensors()}
    for path, component in checkpoint.parts():
        if component == "experts":
            weights[f"{path}.weight"] = checkpoint.expert_values(path)
            weights[f"{path}.bias"] = as_float32(checkpoint.expert(path, "_bias"))
        else:
            weights[f"{path}.weight"] = as_float32(stored[f"{path}.weight"])
    return weights


def logits(net: Network, tokens: Sequence[int]) -> Array:
    """Logits after every one of `tokens`, (position, vocabulary)."""
    ids = np.array([tokens])
    cache = _empty_cache(net, 1, len(tokens))
    hidden = _forward(net, ids, np.zeros(1, dtype=int), cache)
    y: Array = (hidden @ net.weights["lm_head.weight"].T)[0]
    return y


def generate(
    net: Network,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    stop: Collection[int],
) -> list[Generated]:
    """The greedy reply to each prompt."""
    if len(prompts) > ROWS:
        few = generate(net, prompts[:ROWS], max_tokens, stop)
        return few + generate(net, prompts[ROWS:], max_tokens, stop)
    longest = max(map(len, prompts)) + max_tokens
    cache = _empty_cache(net, len(prompts), longest)
    alive = np.arange(len(prompts))
    place = np.array([len(prompt) for prompt in prompts])
    last = _prefill(net, prompts, cache)
    replies = [Generated([], False) for _ in prompts]
    for step in range(max_tokens):
        for row, token in zip(alive.tolist(), last.tolist(), strict=True):
            if token in stop:
                replies[row] = Generated(replies[row].tokens, True)
            else:
                replies[row].tokens.append(token)
        kept = ~np.isin(last, list(stop))
        if not kept.all():
            alive, last, place = alive[kept], last[kept], place[kept]
            cache = cache[:, :, kept]
        if not len(alive) or step + 1 == max_tokens:
            break
        last = _next(net, _forward(net, last[:, None], place, cache)[:, 0])
        place = place + 1
    return replies


def _prefill(net: Network, prompts: Sequence[Sequence[int]], cache: Array) -> Array:
    """Read the prompts, a few rows at a time; the first token of each reply."""
    first = []
    for row in range(0, len(prompts), PREFILL_ROWS):
        some = prompts[row : row + PREFILL_ROWS]
        ids = np.zeros((len(some), max(map(len, some))), dtype=int)
        for n, prompt in enumerate(some):
            ids[n, : len(prompt)] = prompt
        # What a shorter row leaves in the cache behind its end is overwritten by its
        # reply before any position may look there.
        part = cache[:, :, row : row + len(some)]
        hidden = _forward(net, ids, np.zeros(len(some), dtype=int), part)
        ends = [len(prompt) - 1 for prompt in some]
        first.append(_next(net, hidden[np.arange(len(some)), ends]))
    return np.concatenate(first)


def _next(net: Network, hidden: Array) -> Array:
    best: Array = np.argmax(hidden @ net.weights["lm_head.weight"].T, axis=-1)
    return best


def _empty_cache(net: Network, rows: int, length: int) -> Array:
    """Room for keys and values: (two, layer, row, head, position, width)."""
    c = net.config
    layers, heads = c["num_hidden_layers"], c["num_key_value_heads"]
    return np.zeros((2, layers, rows, heads, length, c["head_dim"]), np.float32)


def _forward(net: Network, ids: Array, start: Array, cache: Array) -> Array:
    """Last hidden states of `ids` (row, time), row r beginning at position start[r]."""
    x = net.weights["model.embed_tokens.weight"][ids]
    where = start[:, None] + np.arange(ids.shape[1])
    for layer, kind in enumerate(net.config["layer_types"]):
        stem = f"model.layers.{layer}"
        window = net.config["sliding_window"] if kind.startswith("sliding") else None
        y = net.norm(f"{stem}.input_layernorm", x)
        x = x + _attention(net, f"{stem}.self_attn", y, where, cache[:, layer], window)
        y = net.norm(f"{stem}.post_attention_layernorm", x).reshape(-1, x.shape[-1])
        x = x + _mixture(net, f"{stem}.mlp", y).reshape(x.shape)
    return net.norm("model.norm", x)


def _attention(
    net: Network, path: str, x: Array, where: Array, cache: Array, window: int | None
) -> Array:
    """Grouped-query attention over the cache, with a learned sink per head."""
    rows, time, _ = x.shape
    heads, width = net.config["num_key_value_heads"], net.config["head_dim"]

    def split(letter: str) -> Array:
        whole = net.linear(f"{path}.{letter}_proj", x)
        return whole.reshape(rows, time, -1, width).swapaxes(1, 2)

    keys, values = cache
    place = (np.arange(rows)[:, None], slice(None), where)
    keys[place] = _rotate(net, split("k"), where).swapaxes(1, 2)
    values[place] = split("v").swapaxes(1, 2)
    seen = slice(0, int(where.max()) + 1)
    q = _rotate(net, split("q"), where) * np.float32(width**-0.5)
    q = q.reshape(rows, heads, -1, width)  # query heads of a group beside each other
    scores = (q @ keys[:, :, seen].swapaxes(-1, -2)).reshape(
        rows, heads, -1, time, seen.stop
    )
    back = where[:, :, None] - np.arange(seen.stop)
    hidden = (back < 0) if window is None else (back < 0) | (back >= window)
    scores[np.broadcast_to(hidden[:, None, None], scores.shape)] = -np.inf
    sinks = net.weights[f"{path}.sinks"].reshape(heads, -1, 1, 1)
    # A sink is one more entry of the softmax, which takes its share and gives nothing.
    peak = np.maximum(scores.max(axis=-1, keepdims=True), sinks)
    raised = np.exp(scores - peak)
    weights = raised / (raised.sum(axis=-1, keepdims=True) + np.exp(sinks - peak))
    weights = weights.reshape(rows, heads, -1, seen.stop)
    y = (weights @ values[:, :, seen]).reshape(rows, -1, time, width)
    return net.linear(f"{path}.o_proj", y.swapaxes(1, 2).reshape(rows, time, -1))


def _rotate(net: Network, x: Array, where: Array) -> Array:
    width = x.shape[-1]
    pace = net.theta ** -(np.arange(0, width, 2, dtype=np.float32) / width)
    angles = (where[:, None, :, None] * pace.astype(np.float32)).astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def _mixture(net: Network, path: str, x: Array) -> Array:
    """The best experts of each token, weighted by a softmax over their scores."""
    scores = net.linear(f"{path}.router", x)
    top = net.config["num_experts_per_tok"]
    best = np.argpartition(-scores, top - 1, axis=-1)[:, :top]
    kept = np.take_along_axis(scores, best, axis=-1)
    share = np.exp(kept - kept.max(axis=-1, keepdims=True))
    share /= share.sum(axis=-1, keepdims=True)
    y = np.zeros_like(x)
    for expert in range(scores.shape[-1]):
        token, rank = np.nonzero(best == expert)
        if len(token):
            own = f"{path}.experts"
            gate = net.linear(f"{own}.gate_proj", x[token], expert)
            up = net.linear(f"{own}.up_proj", x[token], expert)
            gate, up = np.minimum(gate, CLAMP), np.clip(up, -CLAMP, CLAMP)
            inner = (up + 1) * gate / (1 + np.exp(-SLOPE * gate))
            out = net.linear(f"{own}.down_proj", inner, expert)
            y[token] += share[token, rank][:, None] * out
    return y
