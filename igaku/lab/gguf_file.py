"""GGUF, llama.cpp's one-file format: a checkpoint with its tokenizer and template.

Tensor types are those of llama.cpp's own MXFP4 mixture-of-experts conversion: experts
MXFP4, other matrices Q8_0, router, norms, biases and sinks F32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from igaku.errors import IgakuError
from igaku.lab import mxfp4
from igaku.lab.checkpoint import EXPERT_PARTS, Checkpoint
from igaku.lab.tensorfile import as_float32

FILE_NAME = "model.gguf"
# Of a layer: the checkpoint's name, GGUF's, and the type.
LAYER = (
    ("input_layernorm.weight", "attn_norm.weight", "F32"),
    ("post_attention_layernorm.weight", "post_attention_norm.weight", "F32"),
    ("self_attn.sinks", "attn_sinks.weight", "F32"),
    ("self_attn.q_proj.weight", "attn_q.weight", "Q8_0"),
    ("self_attn.q_proj.bias", "attn_q.bias", "F32"),
    ("self_attn.k_proj.weight", "attn_k.weight", "Q8_0"),
    ("self_attn.k_proj.bias", "attn_k.bias", "F32"),
    ("self_attn.v_proj.weight", "attn_v.weight", "Q8_0"),
    ("self_attn.v_proj.bias", "attn_v.bias", "F32"),
    ("self_attn.o_proj.weight", "attn_output.weight", "Q8_0"),
    ("self_attn.o_proj.bias", "attn_output.bias", "F32"),
    ("mlp.router.weight", "ffn_gate_inp.weight", "F32"),
    ("mlp.router.bias", "ffn_gate_inp.bias", "F32"),
)
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
        # Every tensor is announced, then one after another written: none is held.
        plan, size = list(_plan(checkpoint)), 0
        for item in plan:
            kind = gguf.GGMLQuantizationType[item.kind]
            shape = gguf.quant_shape_to_byte_shape(item.shape, kind)
            count = math.prod(shape)
            writer.add_tensor_info(item.name, shape, np.dtype("u1"), count, kind)
            size += count
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for item in plan:
            writer.write_tensor_data(np.ascontiguousarray(item.data()))
        return size
    finally:
        writer.close()


def _plan(checkpoint: Checkpoint) -> Iterator[Planned]:
    yield _matrix(checkpoint, "model.embed_tokens.weight", "token_embd.weight", "Q8_0")
    for layer in range(checkpoint.config["num_hidden_layers"]):
        for name, target, kind in LAYER:
            source = f"model.layers.{layer}.{name}"
            yield _matrix(checkpoint, source, f"blk.{layer}.{target}", kind)
        for part in EXPERT_PARTS:
            yield from _experts(checkpoint, layer, part)
    yield _matrix(checkpoint, "model.norm.weight", "output_norm.weight", "F32")
    yield _matrix(checkpoint, "lm_head.weight", "output.weight", "Q8_0")


def _matrix(checkpoint: Checkpoint, source: str, target: str, kind: str) -> Planned:
    import gguf

    def data() -> np.ndarray:
        values = as_float32(checkpoint.tensors[source])
        coded: np.ndarray = gguf.quantize(values, gguf.GGMLQuantizationType[kind])
        return coded

    return Planned(target, kind, checkpoint.tensors[source].data.shape, data)


def _experts(checkpoint: Checkpoint, layer: int, part: str) -> Iterator[Planned]:
    path = f"model.layers.{layer}.mlp.experts.{part}_proj"
    bias = checkpoint.expert(path, "_bias")
    inner = "intermediate_size" if part == "down" else "hidden_size"
    target = f"blk.{layer}.ffn_{part}_exps"

    def data() -> np.ndarray:
        """The same codes as ggml has them: scale, then value j beside value j + 16."""
        coded = checkpoint.expert_codes(path)
        code = mxfp4.codes(coded.blocks)
        pairs = code[..., :16] | (code[..., 16:] << 4)
        whole = np.concatenate([coded.scales[..., None], pairs], axis=-1)
        return whole.reshape(*coded.scales.shape[:-1], -1)

    shape = (*bias.data.shape, checkpoint.config[inner])
    yield Planned(f"{target}.weight", "MXFP4", shape, data)
    yield Planned(f"{target}.bias", "F32", bias.data.shape, lambda: as_float32(bias))


def _describe(writer: Any, checkpoint: Checkpoint, name: str) -> None:
    """The keys that tell llama.cpp the network's sizes."""
    import gguf

    config = checkpoint.config
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_MXFP4_MOE)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["num_hidden_layers"])
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
    if scaling is None:
        return
    if (kind := scaling.get("rope_type") or scaling.get("type")) != "yarn":
        raise IgakuError(
            f"rope scaling {kind!r} has no place in a gpt-oss GGUF: only yarn has."
        )
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(scaling["factor"])
    writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])


def _add_tokenizer(writer: Any, checkpoint: Checkpoint) -> None:
    """The vocabulary, merges and chat template, under the names llama.cpp knows."""
    folder = checkpoint.folder
    try:
        tokenizer, about = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("tokenizer.json", "tokenizer_config.json")
        )
    except (OSError, ValueError) as broken:
        raise IgakuError(
            f"{folder} has no readable tokenizer.json with its tokenizer_config.json: "
            f"fetch the folder again."
        ) from broken
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
    for end, add in (
        ("bos_token", writer.add_bos_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        if isinstance(about.get(end), str):
            add(tokens.index(about[end]))
    writer.add_eos_token_id(tokens.index("<|return|>"))
    writer.add_chat_template(chat_template(folder))


def chat_template(folder: Path) -> str:
    """The Jinja text that turns a chat into the model's prompt."""
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except FileNotFoundError as missing:
        raise IgakuError(
            f"{folder} has no chat_template.jinja: fetch the folder again."
        ) from missing


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
