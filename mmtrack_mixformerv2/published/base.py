"""What the published forwards have in common: crops in, a box and a score out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..structures import BoxPrediction, Features
from ..tracking import Prediction


class PublishedForward(ABC):
    """A predictor that does for a frame what the authors' tracker does.

    Args:
        model: A :class:`~..models.tracker.TemplateSearchTracker` in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.search_size = model.backbone.search_size
        self.template_size = model.backbone.template_size

    @torch.inference_mode()
    def encode_templates(self, crops: list[np.ndarray]) -> Any:
        """What is kept of ``(h, w, 3)`` crops, the static template first."""
        return self.keep(self.normalise(crops))

    @torch.inference_mode()
    def predict(self, search_crop: np.ndarray, cache: Any) -> Prediction:
        """What the network says about one crop."""
        prediction = self.forward(cache, self.normalise([search_crop]))
        logits = prediction.score_logits
        box = prediction.boxes[0].cpu().double().numpy()
        return Prediction(box, None if logits is None else logits[0].double().sigmoid().item())

    def normalise(self, crops: Sequence[np.ndarray]) -> Tensor:
        """RGB uint8 crops ``(h, w, 3)`` to one ``(N, 3, h, w)`` on the device."""
        preprocessor = self.model.data_preprocessor
        stacked = torch.from_numpy(np.stack(crops)).to(preprocessor.mean.device)
        return preprocessor.scale(stacked.permute(0, 3, 1, 2))

    def forward(self, kept: Any, search: Tensor) -> BoxPrediction:
        """What the heads say about a search region ``(1, 3, S, S)``; they are as published."""
        return self.model.apply_heads(self.extract(kept, search), tracking=True)

    def keep(self, templates: Tensor) -> Any:
        """What is kept of normalised templates ``(T, 3, h, w)``; by default no more than these."""
        return templates

    @abstractmethod
    def extract(self, kept: Any, search: Tensor) -> Features:
        """What the backbone gives the heads for one search region ``(1, 3, S, S)``."""


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Tokens ``(B, N, C)`` to ``(B, heads, N, C / heads)``."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention as two products and a softmax.

    Args:
        query: ``(B, heads, N, d)``.
        key: ``(B, heads, M, d)``.
        value: As ``key``.
        scale: Of the logits.

    Returns:
        ``(B, N, heads * d)``.
    """
    weights = (query @ key.transpose(-2, -1) * scale).softmax(dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def to_tokens(maps: Tensor) -> Tensor:
    """Maps ``(B, C, h, w)`` to tokens ``(B, h * w, C)``, row by row."""
    return maps.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor) -> Tensor:
    """Tokens ``(B, N, C)`` of a square map to ``(B, C, h, w)``."""
    side = round(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).unflatten(2, (side, side))
