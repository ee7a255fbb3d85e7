"""Transformer blocks whose keys and values may come from outside: mixed attention.

Paper: MixFormerV2, arXiv 2305.15896, sections 3.1 and 3.3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn


class MixedAttention(nn.Module):
    """Multi-head attention whose keys and values may come from outside."""

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value ``(B, heads, N, head_dim)`` of tokens ``(B, N, C)``."""
        batch, length, dims = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, dims // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``(B, N, C)``: every query attends to all keys."""
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def weigh(self, query: Tensor, key: Tensor) -> Tensor:
        """Attention ``(B, heads, N, K)`` of queries to keys; each row sums to 1.

        :meth:`attend` takes the means of the values with these weights, without keeping them.
        """
        return (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)

    def attend_few(self, x: Tensor, count: int, key: Tensor, value: Tensor) -> Tensor:
        """What :meth:`attend` gives for the last few tokens, without keys and values of ``x``.

        The order of products is changed, not their result: the logits q (x W_k)^T are
        (q W_k^T) x^T, and the mixed values p (x W_v) are (p x) W_v. For few queries q, of which
        there are as many rows of attention p, that is much less work.

        Args:
            x: Tokens ``(B, N, C)``.
            count: How many of the last ones ask, P.
            key: Keys ``(B, heads, T, head_dim)`` that the queries attend to besides those of ``x``.
            value: Their values.

        Returns:
            ``(B, P, C)``.
        """
        batch, length, dims = x.shape
        heads, width = self.num_heads, dims // self.num_heads
        weights = self.qkv.weight.view(3, heads, width, dims)
        query_bias, key_bias, value_bias = self.qkv.bias.view(3, heads, width, 1)
        tokens = x[:, length - count :].unsqueeze(1)  # (B, 1, P, C)
        query = (tokens @ weights[0].transpose(1, 2) + query_bias.mT) * width**-0.5
        asked = (query @ weights[1]).flatten(1, 2)  # (B, heads * P, C)
        own = (asked @ x.mT).unflatten(1, (heads, count)) + query @ key_bias
        attention = torch.cat([query @ key.mT, own], dim=-1).softmax(dim=-1)
        given, own = attention.split([key.shape[2], length], dim=-1)
        seen = (own.contiguous().flatten(1, 2) @ x).unflatten(1, (heads, count))  # (B, heads, P, C)
        mixed = given @ value + seen @ weights[2].mT + own.sum(-1, keepdim=True) * value_bias.mT
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Linear, exact GELU, Linear."""

    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, hidden)
        self.fc2 = nn.Linear(hidden, dims)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MixedAttentionBlock(nn.Module):
    """Pre-norm transformer block, in two steps so that keys and values can be cached.

    A block that is being pruned (MixFormerV2, section 3.3) fades out.

    Attributes:
        gamma: What is left of the block, 1 to 0; at 0 its output is its input, bit for bit.
        fade: ``'residual'`` scales all that the block adds, ``x + gamma (A(x) + M(x + A(x)))`` with
            attention A and MLP M, as the paper writes; ``'branches'`` scales each branch, so the
            MLP reads ``x + gamma A(x)``, as the published code does.
    """

    FADES = ('residual', 'branches')

    def __init__(self, dims: int, num_heads: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=1e-6)
        self.attn = MixedAttention(dims, num_heads)
        self.norm2 = nn.LayerNorm(dims, eps=1e-6)
        self.mlp = Mlp(dims, int(dims * mlp_ratio))
        self.drop_path = DropPath(drop_path)
        self.gamma = 1.0
        self.fade = 'residual'

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of the tokens that enter the block."""
        return self.attn.project(self.norm1(x))

    def finish(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Output of the block for the tokens ``x`` whose query is given."""
        if self.gamma == 0:
            return x
        return self._add(x, self.attn.attend(query, key, value))

    def finish_few(self, x: Tensor, count: int, key: Tensor, value: Tensor) -> Tensor:
        """Output ``(B, P, C)`` of the block for the last ``count`` of the tokens ``x``.

        All of ``x`` and the given keys and values, of the templates, are attended to.
        """
        few = x[:, x.shape[1] - count :]
        if self.gamma == 0:
            return few
        return self._add(few, self.attn.attend_few(self.norm1(x), count, key, value))

    def finish_mixed(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Output of the block for tokens ``x``, given what their heads mixed, ``(B, N, C)``."""
        if self.gamma == 0:
            return x
        return self._add(x, self.attn.proj(mixed))

    def _add(self, x: Tensor, attended: Tensor) -> Tensor:
        attended = self.drop_path(attended)
        if self.gamma == 1 or self.fade == 'branches':
            x = x + self._faded(attended)
            return x + self._faded(self.drop_path(self.mlp(self.norm2(x))))
        added = attended + self.drop_path(self.mlp(self.norm2(x + attended)))
        return x + self._faded(added)

    def _faded(self, added: Tensor) -> Tensor:
        return added if self.gamma == 1 else self.gamma * added
