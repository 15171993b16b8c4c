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
from igaku.lab.checkpoint import Checkpoint, as_float32

FILE_NAME = "model.gguf"
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
    for path, component in checkpoint.parts():
        if component == "experts":
            yield from _experts(checkpoint, path)
        else:
            kind = "F32" if component == "router" else "Q8_0"
            yield _matrix(checkpoint, f"{path}.weight", kind)
    for name in checkpoint.plain_tensors():
        yield _matrix(checkpoint, name, "F32")


def _target(checkpoint: Checkpoint, source: str) -> str:
    """llama.cpp's name for a tensor of the checkpoint."""
    import gguf

    layers = checkpoint.config["num_hidden_layers"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT_OSS, layers)
    name = names.get_name(source, (".weight", ".bias"))
    return f"{name}.weight" if source.endswith("sinks") else str(name)


def _matrix(checkpoint: Checkpoint, source: str, kind: str) -> Planned:
    import gguf

    def data() -> np.ndarray:
        values = as_float32(checkpoint.tensors[source])
        coded: np.ndarray = gguf.quantize(values, gguf.GGMLQuantizationType[kind])
        return coded

    shape = checkpoint.tensors[source].data.shape
    return Planned(_target(checkpoint, source), kind, shape, data)


def _experts(checkpoint: Checkpoint, path: str) -> Iterator[Planned]:
    bias, target = checkpoint.expert(path, "_bias"), _target(checkpoint, path)
    inner = "intermediate_size" if path.endswith("down_proj") else "hidden_size"

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
    import gguf

    folder = checkpoint.folder
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        (folder / "tokenizer_config.json").stat()  # gguf would do without it
        special = gguf.SpecialVocab(folder, load_merges=True)
    except (OSError, ValueError) as broken:
        raise IgakuError(
            f"{folder} has no readable tokenizer.json with its tokenizer_config.json: "
            f"fetch the folder again."
        ) from broken
    tokens, types = _vocabulary(tokenizer, checkpoint.config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitter(tokenizer, folder))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    # <|call|> beside <|return|> is how llama.cpp knows that <|end|> ends no reply.
    for token in ("<|return|>", "<|call|>", "<|end|>", "<|channel|>", "<|message|>"):
        if token not in tokens:
            raise IgakuError(f"{folder}'s tokenizer lacks {token}: it is no gpt-oss's.")
    special.add_special_token["bos"] = False
    special.chat_template = chat_template(folder)
    special.add_to_gguf(writer, quiet=True)


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
