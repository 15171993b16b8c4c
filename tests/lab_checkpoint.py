"""A tiny random gpt-oss checkpoint, laid out as Hugging Face lays out a real one."""

import json
import re
from pathlib import Path

import numpy as np

from igaku.lab import mxfp4
from igaku.lab.checkpoint import Encoded, write_tensors
from igaku.lab.gguf_file import QWEN2

SPECIALS = (
    "<|startoftext|>",
    "<|endoftext|>",
    "<|return|>",
    "<|constrain|>",
    "<|channel|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|call|>",
)
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("ã", "ģ")]
TEMPLATE = """\
{%- set effort = reasoning_effort if reasoning_effort is defined else "medium" -%}
{{- "<|start|>system<|message|>Reasoning: " ~ effort ~ "<|end|>" -}}
{%- for message in messages -%}
    {%- if message.role == "assistant" -%}
        {{- "<|start|>assistant<|channel|>final<|message|>" ~ message.content -}}
    {%- else -%}
        {{- "<|start|>" ~ message.role ~ "<|message|>" ~ message.content -}}
    {%- endif -%}
    {{- "<|end|>" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|start|>assistant" -}}{%- endif -%}
"""


def byte_letters():
    """GPT-2's 256 printable letters, one for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + n) for n in range(len(others))]


def tokenizer_json():
    tokens = [*SPECIALS, *byte_letters(), *("".join(m) for m in MERGES)]
    added = [
        {
            "id": n,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for n, text in enumerate(SPECIALS)
    ]
    level = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {
        "type": "Split",
        "pattern": {"Regex": QWEN2},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, {"type": "ByteLevel", **level}],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", **level},
        "model": {
            "type": "BPE",
            "vocab": {text: n for n, text in enumerate(tokens)},
            "merges": [list(m) for m in MERGES],
        },
    }


def make_config(vocab=270, layers=4, hidden=128, inter=128):
    kinds = ("sliding_attention", "full_attention")
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": inter,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 16,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192,
        "layer_types": [kinds[n % 2] for n in range(layers)],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }


def random_tensors(config, seed=0):
    rng = np.random.default_rng(seed)
    hidden, inter = config["hidden_size"], config["intermediate_size"]
    experts, wide = config["num_local_experts"], 4 * 32

    def draw(*shape, scale=None):
        scale = scale or shape[-1] ** -0.5
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    tensors = {
        "model.embed_tokens.weight": draw(config["vocab_size"], hidden, scale=1.0),
        "model.norm.weight": 1 + draw(hidden, scale=0.1),
        "lm_head.weight": draw(config["vocab_size"], hidden, scale=0.1),
    }
    for n in range(config["num_hidden_layers"]):
        stem = f"model.layers.{n}"
        for letter, rows, columns in (
            ("q", wide, hidden),
            ("k", wide // 2, hidden),
            ("v", wide // 2, hidden),
            ("o", hidden, wide),
        ):
            tensors[f"{stem}.self_attn.{letter}_proj.weight"] = draw(rows, columns)
            tensors[f"{stem}.self_attn.{letter}_proj.bias"] = draw(rows, scale=0.1)
        tensors |= {
            f"{stem}.self_attn.sinks": draw(4, scale=1.0),
            f"{stem}.input_layernorm.weight": 1 + draw(hidden, scale=0.1),
            f"{stem}.post_attention_layernorm.weight": 1 + draw(hidden, scale=0.1),
            f"{stem}.mlp.router.weight": draw(experts, hidden, scale=0.3),
            f"{stem}.mlp.router.bias": draw(experts, scale=0.1),
            f"{stem}.mlp.experts.gate_up_proj": draw(
                experts, hidden, 2 * inter, scale=0.15
            ),
            f"{stem}.mlp.experts.gate_up_proj_bias": draw(
                experts, 2 * inter, scale=0.1
            ),
            f"{stem}.mlp.experts.down_proj": draw(experts, inter, hidden, scale=0.15),
            f"{stem}.mlp.experts.down_proj_bias": draw(experts, hidden, scale=0.1),
        }
    return tensors


def make_checkpoint(folder: Path, seed=0, **sizes) -> Path:
    """A float32 checkpoint as igaku trains one: one file, plain experts."""
    config = make_config(**sizes)
    _surroundings(folder, config)
    tensors = {k: Encoded("F32", v) for k, v in random_tensors(config, seed).items()}
    write_tensors(folder / "model.safetensors", tensors, "pt")
    return folder


def make_released(folder: Path, seed=0, **sizes) -> Path:
    """The same weights as OpenAI releases them: bfloat16, MXFP4 experts, two shards."""
    config = make_config(**sizes)
    config["quantization_config"] = {"quant_method": "mxfp4"}
    _surroundings(folder, config)
    tensors = {}
    for name, values in random_tensors(config, seed).items():
        if re.search(r"experts\.\w+_proj$", name):
            coded = mxfp4.encode(values.swapaxes(1, 2))
            tensors[f"{name}_blocks"] = Encoded("U8", coded.blocks)
            tensors[f"{name}_scales"] = Encoded("U8", coded.scales)
        else:
            tensors[name] = Encoded("BF16", to_bfloat16(values))
    names = sorted(tensors)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    places = {}
    for n, half in enumerate(halves):
        shard = f"model-0000{n + 1}-of-00002.safetensors"
        write_tensors(folder / shard, {k: tensors[k] for k in half}, "pt")
        places |= dict.fromkeys(half, shard)
    index = json.dumps({"metadata": {}, "weight_map": places})
    (folder / "model.safetensors.index.json").write_text(index)
    return folder


def to_bfloat16(values):
    """The bits of the nearest bfloat16, ties away from zero."""
    return ((values.view(np.uint32) + 0x8000) >> 16).astype(np.uint16)


def _surroundings(folder, config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|return|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def decoded(folder):
    """Every tensor of a folder written here, in float32, coded ones as the engine
    sees them: for holding one format against another.
    """
    import mlx.core as mx

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    layers = config.get("quantization", {})
    loaded = {}
    for shard in sorted(folder.glob("model*.safetensors")):
        loaded |= mx.load(str(shard))
    values = {}
    for name, tensor in loaded.items():
        path, _, kind = name.rpartition(".")
        if kind in ("scales", "biases"):
            continue
        if kind == "weight" and path in layers:
            scales, biases = (loaded.get(f"{path}.{k}") for k in ("scales", "biases"))
            how = layers[path]
            tensor = mx.dequantize(tensor, scales, biases, **how)
        values[name] = np.array(tensor.astype(mx.float32))
    return values
