"""Which weights a model has."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of backbone, heads and scaling, 64 digits."""
    digest = hashlib.sha256()
    parts = ('data_preprocessor.', 'backbone.', 'box_head.', 'score_head.')
    tensors = {**model.state_dict(), **_buffers(model)}
    for name, tensor in sorted(tensors.items()):
        if name.startswith(parts):
            digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers too that are not stored, as mean and deviation of the pixels."""
    return dict(model.named_buffers())
