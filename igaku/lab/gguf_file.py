"""GGUF, llama.cpp's one-file format: a checkpoint with its tokenizer and template.

Tensor types are those of llama.cpp's own MXFP4 mixture-of-experts conversion: experts
MXFP4, other matrices Q8_0, router, norms, biases and sinks F32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from igaku.errors import IgakuError
from igaku.lab import mxfp4
from igaku.lab.checkpoint import EXPERT_PARTS, Checkpoint

FILE_NAME = "model.gguf"
ATTENTION = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}
NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
}
# llama.cpp splits text by name, not by pattern: these are the names it knows for the
# patterns of the embedded model and of the release.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K_MARK = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"


class Planned(NamedTuple):
    """A tensor to write: its name, type, shape in values, and how to get its bytes."""

    name: str
    kind: str
    shape: tuple[int, ...]
    data: Callable[[], np.ndarray]


def write_gguf(checkpoint: Checkpoint, path: Path, name: str) -> int:
    """Write the checkpoint as one GGUF file; returns the bytes its tensors take."""
    import gguf

    writer = gguf.GGUFWriter(path, "gpt-oss")
    try:
        _describe(writer, checkpoint, name)
        _add_tokenizer(writer, checkpoint)
        return _write_tensors(writer, list(_plan(checkpoint)))
    finally:
        writer.close()


def _write_tensors(writer: Any, plan: list[Planned]) -> int:
    """Announce every tensor, then write one after another: none is held for long."""
    import gguf

    size = 0
    for item in plan:
        kind = gguf.GGMLQuantizationType[item.kind]
        group, stride = gguf.GGML_QUANT_SIZES[kind]
        if item.shape[-1] % group:
            raise IgakuError(
                f"{item.name} has rows of {item.shape[-1]}, and {item.kind} codes "
                f"{group} at a time: this checkpoint does not fit the recipe."
            )
        row = item.shape[-1] // group * stride
        shape = item.shape if item.kind == "F32" else (*item.shape[:-1], row)
        number = np.dtype(np.float32 if item.kind == "F32" else np.uint8)
        count = int(np.prod(shape, dtype=np.int64)) * number.itemsize
        writer.add_tensor_info(item.name, shape, number, count, raw_dtype=kind)
        size += count
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for item in plan:
        writer.write_tensor_data(np.ascontiguousarray(item.data()))
    return size


def _plan(checkpoint: Checkpoint) -> Iterator[Planned]:
    yield _matrix(checkpoint, "model.embed_tokens.weight", "token_embd.weight", "Q8_0")
    for layer in range(checkpoint.layers):
        yield from _layer(checkpoint, layer)
    yield _matrix(checkpoint, "model.norm.weight", "output_norm.weight", "F32")
    yield _matrix(checkpoint, "lm_head.weight", "output.weight", "Q8_0")


def _layer(checkpoint: Checkpoint, layer: int) -> Iterator[Planned]:
    source, target = f"model.layers.{layer}", f"blk.{layer}"
    for name, norm in NORMS.items():
        yield _matrix(
            checkpoint, f"{source}.{name}.weight", f"{target}.{norm}.weight", "F32"
        )
    sinks = f"{source}.self_attn.sinks"
    yield _matrix(checkpoint, sinks, f"{target}.attn_sinks.weight", "F32")
    for letter, name in ATTENTION.items():
        stem = f"{source}.self_attn.{letter}_proj"
        yield _matrix(checkpoint, f"{stem}.weight", f"{target}.{name}.weight", "Q8_0")
        yield _matrix(checkpoint, f"{stem}.bias", f"{target}.{name}.bias", "F32")
    for suffix in ("weight", "bias"):
        router = f"{source}.mlp.router.{suffix}"
        yield _matrix(checkpoint, router, f"{target}.ffn_gate_inp.{suffix}", "F32")
    for part in EXPERT_PARTS:
        yield from _experts(checkpoint, layer, part, f"{target}.ffn_{part}_exps")


def _matrix(checkpoint: Checkpoint, source: str, target: str, kind: str) -> Planned:
    import gguf

    def data() -> np.ndarray:
        values = checkpoint.float32(source)
        coded: np.ndarray = gguf.quantize(values, gguf.GGMLQuantizationType[kind])
        return coded

    return Planned(target, kind, checkpoint.tensors[source].shape, data)


def _experts(
    checkpoint: Checkpoint, layer: int, part: str, target: str
) -> Iterator[Planned]:
    bias = checkpoint.expert_bias(layer, part).data.shape
    hidden, inner = bias[1], checkpoint.config["hidden_size"]
    if part == "down":
        inner = checkpoint.config["intermediate_size"]
    shape = (bias[0], hidden, inner)
    yield Planned(
        f"{target}.weight",
        "MXFP4",
        shape,
        lambda: blocks_for_ggml(checkpoint.expert_codes(layer, part)),
    )
    yield Planned(
        f"{target}.bias", "F32", bias, lambda: checkpoint.expert_bias32(layer, part)
    )


def blocks_for_ggml(coded: mxfp4.Mxfp4) -> np.ndarray:
    """The same codes as ggml lays them out: scale, then value j beside value j + 16."""
    code = mxfp4.codes(coded.blocks)
    pairs = code[..., :16] | (code[..., 16:] << 4)
    whole = np.concatenate([coded.scales[..., None], pairs], axis=-1)
    return whole.reshape(*coded.scales.shape[:-1], -1)


def _describe(writer: Any, checkpoint: Checkpoint, name: str) -> None:
    """The keys that tell llama.cpp the network's sizes."""
    import gguf

    config = checkpoint.config
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_MXFP4_MOE)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(checkpoint.layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-5))
    theta, scaling = checkpoint.rope()
    writer.add_rope_freq_base(theta)
    if scaling is not None:
        _describe_scaling(writer, scaling)


def _describe_scaling(writer: Any, scaling: dict[str, Any]) -> None:
    import gguf

    kind = scaling.get("rope_type") or scaling.get("type")
    if kind != "yarn":
        raise IgakuError(
            f"rope scaling {kind!r} has no place in a gpt-oss GGUF: only yarn has."
        )
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(scaling["factor"])
    writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])


def _add_tokenizer(writer: Any, checkpoint: Checkpoint) -> None:
    """The vocabulary, merges and chat template, under the names llama.cpp knows."""
    folder = checkpoint.folder
    tokenizer = _json(folder / "tokenizer.json")
    about = _json(folder / "tokenizer_config.json")
    tokens, types = _vocabulary(tokenizer, checkpoint.config["vocab_size"])
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitter(tokenizer, folder))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_add_bos_token(False)
    # <|call|> beside <|return|> is how llama.cpp knows that <|end|> ends no reply.
    for token in ("<|return|>", "<|call|>", "<|end|>", "<|channel|>", "<|message|>"):
        if token not in tokens:
            raise IgakuError(f"{folder}'s tokenizer lacks {token}: it is no gpt-oss's.")
    ends = {"bos": writer.add_bos_token_id, "pad": writer.add_pad_token_id}
    for end, add in ends.items():
        if (named := about.get(f"{end}_token")) and isinstance(named, str):
            add(tokens.index(named))
    writer.add_eos_token_id(tokens.index("<|return|>"))
    writer.add_chat_template(chat_template(folder))


def chat_template(folder: Path) -> str:
    """The Jinja text that turns a chat into the model's prompt."""
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    text = _json(folder / "tokenizer_config.json").get("chat_template")
    if not isinstance(text, str):
        raise IgakuError(
            f"{folder} has no chat_template.jinja: fetch the folder again."
        )
    return text


def _vocabulary(tokenizer: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Tokens by id and their ggml types; ids without a token become placeholders."""
    import gguf

    kind = gguf.TokenType
    tokens = [f"[PAD{n}]" for n in range(size)]
    types = [int(kind.UNUSED)] * size
    for text, number in tokenizer["model"]["vocab"].items():
        tokens[number], types[number] = text, int(kind.NORMAL)
    for added in tokenizer["added_tokens"]:
        number = added["id"]
        tokens[number] = added["content"]
        types[number] = int(kind.CONTROL if added["special"] else kind.USER_DEFINED)
    return tokens, types


def _splitter(tokenizer: dict[str, Any], folder: Path) -> str:
    text = json.dumps(tokenizer.get("pre_tokenizer"))
    if json.dumps(QWEN2) in text:
        return "qwen2"
    if json.dumps(O200K_MARK)[1:-1] in text:
        return "gpt-4o"
    raise IgakuError(
        f"{folder}'s tokenizer splits text in a way llama.cpp has no name for: use the "
        f"tokenizer of the release, or of the embedded model."
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as broken:
        raise IgakuError(
            f"{path} is missing or unreadable: fetch the folder again."
        ) from broken
    return body
