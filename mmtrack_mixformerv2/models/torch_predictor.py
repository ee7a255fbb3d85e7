"""A torch model as the tracking loop sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from ..structures import Features, TemplateCache

DTYPES = {'float32': None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


class TorchPredictor:
    """The network as the tracking loop sees it: uint8 RGB crops in, numbers out.

    Args:
        model: A :class:`~.tracker.TemplateSearchTracker`, whose weights, device and mode are used
            as they are at every call.

    Attributes:
        dtype: What the backbone computes in: a key of ``DTYPES``. The heads stay in float32: a
            16-bit expectation over bins is off by pixels.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.search_size = model.backbone.search_size
        self.template_size = model.backbone.template_size
        self.dtype = 'float32'

    @contextmanager
    def computing_in(self, dtype: str) -> Iterator[None]:
        """Another :attr:`dtype` for a while.

        Raises:
            ValueError: If it is no key of ``DTYPES``.
        """
        if dtype not in DTYPES:
            raise ValueError(f'dtype is {dtype!r}, expected one of {", ".join(DTYPES)}')
        before, self.dtype = self.dtype, dtype
        try:
            yield
        finally:
            self.dtype = before

    def encode_templates(self, crops: list[np.ndarray]) -> TemplateCache:
        """Cache of ``(h, w, 3)`` crops, the static template first."""
        return self.encode_templates_batch([crops])[0]

    def predict(
        self, search_crop: np.ndarray, cache: TemplateCache
    ) -> tuple[np.ndarray, float | None]:
        """Box ``(4,)`` xyxy in [0, 1] of the crop, and the score in [0, 1] if there is one."""
        return self.predict_batch([search_crop], [cache])[0]

    @torch.inference_mode()
    def encode_templates_batch(self, crops: Sequence[list[np.ndarray]]) -> list[TemplateCache]:
        """Caches of several sequences with the same number of templates, in one forward."""
        templates = self.model.data_preprocessor.normalize([crop for one in crops for crop in one])
        with self._autocast():
            cache = self.model.backbone.encode_template(templates.unflatten(0, (len(crops), -1)))
        return cache.split()

    @torch.inference_mode()
    def predict_batch(
        self, search_crops: Sequence[np.ndarray], caches: Sequence[TemplateCache]
    ) -> list[tuple[np.ndarray, float | None]]:
        """What :meth:`predict` gives for each pair; caches of as many templates, one forward."""
        search = self.model.data_preprocessor.normalize(search_crops)
        with self._autocast():
            features = self.model.backbone.encode_search(search, TemplateCache.join(caches))
        prediction = self.model.apply_heads(
            Features(features.search.float(), features.tokens.float())
        )
        boxes = prediction.boxes.cpu().double().numpy()
        if prediction.score_logits is None:
            return [(box, None) for box in boxes]
        scores = prediction.score_logits.cpu().double().sigmoid().tolist()
        return list(zip(boxes, scores))

    def _autocast(self) -> torch.autocast:
        dtype = DTYPES[self.dtype]
        device = self.model.data_preprocessor.mean.device.type
        return torch.autocast(device, dtype, enabled=dtype is not None)
