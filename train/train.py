"""Training the embedded gpt-oss from scratch: `python -m train.train`.

Runs from a checkout and needs the `train` extra (torch). The folder it leaves is laid
out as the released checkpoints are, so that whatever reads those (mlx_lm, a GGUF
writer, transformers) reads this one; its card.json says how the weights were made and
what they score.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.card import make_card
from train.dialogue import WEIGHTS, draw_dialogue
from train.network import CLAMP, Shape, TinyGptOss

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
# The pre-tokenizer llama.cpp calls "qwen2": every digit is a token of its own, so a
# number is compared digit by digit.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
VOCABULARY = 1024


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; the defaults made the shipped weights."""

    steps: int = 6000
    batch: int = 16
    rate: float = 2e-3
    warmup: int = 100
    clip: float = 1.0
    balance: float = 0.01
    seed: int = 116


def make_tokenizer(seed: int = 1) -> Any:
    """A byte-level BPE learned from the lab's dialogues, with harmony's tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = random.Random(seed)
    corpus = ("".join(draw_dialogue(rng)) for _ in range(4000))
    tokenizer.train_from_iterator(_without_specials(corpus), trainer)
    return tokenizer


def _without_specials(texts: Iterator[str]) -> Iterator[str]:
    """Specials are atoms: their letters must not earn merges."""
    for text in texts:
        for special in SPECIALS:
            text = text.replace(special, "\n")
        yield text


def _batches(tokenizer: Any, plan: Schedule) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (tokens, labels) of similar lengths; labels are −100 before the reply."""
    rng = random.Random(plan.seed)
    while True:
        pool = [_encoded(tokenizer, rng) for _ in range(plan.batch * 16)]
        pool.sort(key=lambda pair: len(pair[0]))
        chunks = [pool[i : i + plan.batch] for i in range(0, len(pool), plan.batch)]
        rng.shuffle(chunks)
        yield from map(_padded, chunks)


def _encoded(tokenizer: Any, rng: random.Random) -> tuple[list[int], int]:
    prompt, reply = draw_dialogue(rng)
    start = tokenizer.encode(prompt, add_special_tokens=False).ids
    return start + tokenizer.encode(reply, add_special_tokens=False).ids, len(start)


def _padded(chunk: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    length = -(-max(len(ids) for ids, _ in chunk) // 16) * 16
    tokens = torch.full((len(chunk), length), 1)
    labels = torch.full((len(chunk), length), -100)
    for row, (ids, start) in enumerate(chunk):
        tokens[row, : len(ids)] = torch.tensor(ids)
        labels[row, start : len(ids)] = torch.tensor(ids[start:])
    return tokens, labels


def train(tokenizer: Any, shape: Shape, plan: Schedule, log: Path) -> TinyGptOss:
    """Weights after `plan.steps` of AdamW; one JSON line of progress per 50 steps."""
    torch.manual_seed(plan.seed)
    torch.set_flush_denormal(True)  # three times faster steps on a CPU
    model = TinyGptOss(shape)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    free = [p for p in model.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": 0.01},
        {"params": free},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    began, batches = time.monotonic(), _batches(tokenizer, plan)
    for step in range(1, plan.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, plan)
        loss, exact = _step(model, next(batches), plan, optimizer)
        if step % 50 == 0 or step == 1:
            line = {"step": step, "loss": round(loss, 4), "exact": round(exact, 3)}
            line["seconds"] = round(time.monotonic() - began)
            with log.open("a") as out:
                out.write(json.dumps(line) + "\n")
        if step % 1000 == 0:
            _save_weights(model, log.parent / "checkpoint.safetensors")
    return model


def _rate(step: int, plan: Schedule) -> float:
    if step < plan.warmup:
        return plan.rate * step / plan.warmup
    done = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def _step(
    model: TinyGptOss,
    batch: tuple[Tensor, Tensor],
    plan: Schedule,
    optimizer: torch.optim.Optimizer,
) -> tuple[float, float]:
    """One update; returns the loss and the share of replies right in every token."""
    tokens, labels = batch
    hidden, balance = model(tokens[:, :-1])
    target = labels[:, 1:]
    kept = target >= 0
    logits = model.lm_head(hidden[kept])  # the head only where a label stands
    loss = F.cross_entropy(logits, target[kept])
    optimizer.zero_grad()
    (loss + plan.balance * balance).backward()
    nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
    optimizer.step()
    right = torch.ones_like(kept)
    right[kept] = logits.argmax(-1) == target[kept]
    return loss.item(), right.all(1).float().mean().item()


def _save_weights(model: TinyGptOss, path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})


def save(model: TinyGptOss, tokenizer: Any, folder: Path) -> None:
    """A checkpoint folder as Hugging Face lays one out."""
    folder.mkdir(parents=True, exist_ok=True)
    _save_weights(model, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    template = (WEIGHTS / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    _write_json(folder / "config.json", _config(model.shape, tokenizer))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|startoftext|>",
            "eos_token": "<|return|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": model.shape.max_position_embeddings,
            "clean_up_tokenization_spaces": False,
        },
    )


def _write_json(path: Path, body: dict[str, Any]) -> None:
    path.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n")


def _config(shape: Shape, tokenizer: Any) -> dict[str, Any]:
    kinds = ("sliding_attention", "full_attention")
    rope = {"rope_type": "default", "rope_theta": shape.rope_theta}
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        **asdict(shape),
        "experts_per_token": shape.num_experts_per_tok,
        "layer_types": [kinds[n % 2] for n in range(shape.num_hidden_layers)],
        "rope_scaling": None,
        "rope_parameters": rope,
        "attention_bias": True,
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "swiglu_limit": CLAMP,
        "tie_word_embeddings": False,
        "dtype": "float32",
        "bos_token_id": tokenizer.token_to_id("<|startoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|return|>"),
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
    }


def _keep_memory() -> None:
    """Stop glibc from giving freed tensors back: faulting them in again is slow.

    The numbers are M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD of mallopt(3).
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, size in ((-3, 2**30), (-1, 2**31 - 1), (-2, 2**29)):
            libc.mallopt(option, size)


def main() -> None:
    """Train and save; the folder's training.jsonl keeps the curve."""
    parser = argparse.ArgumentParser(description="Train the embedded tiny gpt-oss.")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    _keep_memory()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    plan = Schedule(steps=options.steps)
    shape = Shape(vocab_size=tokenizer.get_vocab_size())
    model = train(tokenizer, shape, plan, options.out / "training.jsonl")
    save(model, tokenizer, options.out)
    card = make_card(options.out, plan, {"torch": torch.__version__})
    print(json.dumps(card["measured"], indent=2))


if __name__ == "__main__":
    main()
