"""The embedded model's network: GptOssForCausalLM's architecture, small, in torch.

Learned attention sinks, sliding and full attention in turn, a router with top-2 of 4
experts, clamped SwiGLU. State names are those of the released checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CLAMP, SLOPE = 7.0, 1.702  # of gpt-oss's SwiGLU


@dataclass(frozen=True)
class Shape:
    """The sizes of the network, named as in config.json."""

    vocab_size: int
    hidden_size: int = 128
    intermediate_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    num_local_experts: int = 4
    num_experts_per_tok: int = 2
    sliding_window: int = 128
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    max_position_embeddings: int = 8192


class Attention(nn.Module):
    """Grouped-query attention with a learned sink per head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        wide = shape.num_attention_heads * shape.head_dim
        narrow = shape.num_key_value_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, wide)
        self.k_proj = nn.Linear(shape.hidden_size, narrow)
        self.v_proj = nn.Linear(shape.hidden_size, narrow)
        self.o_proj = nn.Linear(wide, shape.hidden_size)
        self.sinks = nn.Parameter(torch.zeros(shape.num_attention_heads))

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """What each token reads from those the mask lets it see."""
        b, t, _ = x.shape
        d, kv = self.shape.head_dim, self.shape.num_key_value_heads
        q = _rotate(self.q_proj(x).view(b, t, -1, d).transpose(1, 2), rope)
        k = _rotate(self.k_proj(x).view(b, t, kv, d).transpose(1, 2), rope)
        v = self.v_proj(x).view(b, t, kv, d).transpose(1, 2)
        groups = self.shape.num_attention_heads // kv
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(d) + mask
        sink = self.sinks.view(1, -1, 1, 1).expand(b, -1, t, 1)
        weights = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
        return self.o_proj((weights @ v).transpose(1, 2).reshape(b, t, -1))


class Experts(nn.Module):
    """All experts' weights, (expert, in, out), gate and up interleaved as released."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        e, h, i = shape.num_local_experts, shape.hidden_size, shape.intermediate_size
        self.gate_up_proj = nn.Parameter(torch.randn(e, h, 2 * i) / math.sqrt(h))
        self.gate_up_proj_bias = nn.Parameter(torch.zeros(e, 2 * i))
        self.down_proj = nn.Parameter(torch.randn(e, i, h) / math.sqrt(8 * i))
        self.down_proj_bias = nn.Parameter(torch.zeros(e, h))

    def forward(self, x: Tensor) -> Tensor:
        """Every expert on every token, (expert, token, hidden): cheap at this size."""
        both = torch.baddbmm(
            self.gate_up_proj_bias.unsqueeze(1),
            x.expand(len(self.gate_up_proj), -1, -1),
            self.gate_up_proj,
        )
        gate = both[..., ::2].clamp(max=CLAMP)
        up = both[..., 1::2].clamp(-CLAMP, CLAMP)
        hidden = (up + 1) * gate * torch.sigmoid(gate * SLOPE)
        return torch.baddbmm(self.down_proj_bias.unsqueeze(1), hidden, self.down_proj)


class Mixture(nn.Module):
    """The router's two best experts per token, weighted by a softmax over the two."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.router = nn.Linear(shape.hidden_size, shape.num_local_experts)
        self.experts = Experts(shape)
        self.top = shape.num_experts_per_tok

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mixture's output, and how unevenly the router spread the tokens."""
        flat = x.reshape(-1, x.shape[-1])
        logits = self.router(flat)
        best, where = logits.topk(self.top, dim=-1)
        weights = torch.zeros_like(logits).scatter(1, where, best.softmax(-1))
        out = torch.einsum("te,eth->th", weights, self.experts(flat))
        # Switch Transformer's balance loss (arXiv 2101.03961, eq. 4): 1 when even.
        share = (weights > 0).float().mean(0) / self.top
        balance = len(share) * (share * logits.softmax(-1).mean(0)).sum()
        return out.view_as(x), balance


class Layer(nn.Module):
    """Attention, then the mixture of experts, each on a normalised residual."""

    def __init__(self, shape: Shape, sliding: bool) -> None:
        super().__init__()
        self.sliding = sliding
        self.self_attn = Attention(shape)
        self.mlp = Mixture(shape)
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(
            shape.hidden_size, shape.rms_norm_eps
        )

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], masks: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The residual stream after this layer, and the router's balance loss."""
        x = x + self.self_attn(self.input_layernorm(x), rope, masks[self.sliding])
        mixed, balance = self.mlp(self.post_attention_layernorm(x))
        return x + mixed, balance


class Trunk(nn.Module):
    """What the released checkpoints keep under `model.`: all but the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(
            Layer(shape, sliding=n % 2 == 0) for n in range(shape.num_hidden_layers)
        )
        self.norm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)


class TinyGptOss(nn.Module):
    """gpt-oss with `Shape`'s sizes; state names follow the released checkpoints."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Trunk(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.5)
        nn.init.normal_(self.lm_head.weight, std=0.05)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Last hidden states (batch, time, hidden) and the mean balance loss."""
        x = self.model.embed_tokens(tokens)
        rope = _rope(tokens.shape[1], self.shape)
        masks = _masks(tokens.shape[1], self.shape.sliding_window)
        balance = x.new_zeros(())
        for layer in self.model.layers:
            x, uneven = layer(x, rope, masks)
            balance = balance + uneven / self.shape.num_hidden_layers
        return self.model.norm(x), balance


def _rope(length: int, shape: Shape) -> tuple[Tensor, Tensor]:
    half = torch.arange(0, shape.head_dim, 2) / shape.head_dim
    angles = torch.outer(torch.arange(length).float(), shape.rope_theta**-half)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rope
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def _masks(length: int, window: int) -> tuple[Tensor, Tensor]:
    back = torch.arange(length).view(-1, 1) - torch.arange(length)
    full = torch.zeros(length, length).masked_fill(back < 0, -torch.inf)
    return full, full.masked_fill(back >= window, -torch.inf)
