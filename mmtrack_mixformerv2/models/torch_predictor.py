"""A torch model as the tracking loop sees it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import repeat

import numpy as np
import torch

from ..runtime.errors import CacheMismatch
from ..structures import TemplateCache
from ..tracking.predictor import Prediction
from .inference import InferenceNetwork


class TorchPredictor:
    """The network as the tracking loop sees it: uint8 RGB crops in, numbers out.

    Args:
        network: A view of a model, or a frozen copy of one.
    """

    def __init__(self, network: InferenceNetwork) -> None:
        self.network = network
        self._last = _Latest()

    @property
    def search_size(self) -> int:
        """Side of the search crop in pixels."""
        return self.network.search_size

    @property
    def template_size(self) -> int:
        """Side of the template crops in pixels."""
        return self.network.template_size

    def encode_templates(self, crops: list[np.ndarray]) -> TemplateCache:
        """Cache of ``(h, w, 3)`` crops, the static template first."""
        return self.encode_templates_batch([crops])[0]

    def predict(self, search_crop: np.ndarray, cache: TemplateCache) -> Prediction:
        """What the network says about one crop."""
        return self.predict_batch([search_crop], [cache])[0]

    @torch.inference_mode()
    def encode_templates_batch(self, crops: Sequence[list[np.ndarray]]) -> list[TemplateCache]:
        """Caches of several sequences with the same number of templates, in one forward."""
        count = len(crops[0])
        # Before the first update a sequence has one crop in every place: it is encoded once.
        if count > 1 and all(crop is one[0] for one in crops for crop in one):
            return [cache.repeat(count) for cache in self._encode([one[:1] for one in crops])]
        return self._encode(crops)

    def _encode(self, crops: Sequence[list[np.ndarray]]) -> list[TemplateCache]:
        stacked = self._stack([crop for one in crops for crop in one])
        return self.network.encode_templates(stacked.unflatten(0, (len(crops), -1))).split()

    @torch.inference_mode()
    def predict_batch(
        self, search_crops: Sequence[np.ndarray], caches: Sequence[TemplateCache]
    ) -> list[Prediction]:
        """What :meth:`predict` gives for each pair; caches of as many templates, one forward.

        Raises:
            CacheMismatch: If a cache is of another model.
        """
        prediction = self.network.predict(self._stack(search_crops), self._join(caches))
        boxes = prediction.boxes.cpu().double().numpy()
        scores = edges = repeat(None)
        if prediction.score_logits is not None:
            scores = prediction.score_logits.cpu().double().sigmoid().tolist()
        if prediction.edge_logits is not None:
            edges = prediction.edge_logits.float().softmax(dim=-1).cpu().numpy()
        return list(map(Prediction, boxes, scores, edges))

    def _join(self, caches: Sequence[TemplateCache]) -> TemplateCache:
        """The caches in one; the last batch is kept, since frames come in a row."""
        last, joined = self._last.batch
        if len(last) == len(caches) and all(a is b for a, b in zip(last, caches)):
            return joined
        self._check_caches(caches, TemplateCache)
        joined = TemplateCache.join(caches)
        if len(caches) > 1:
            self._last.batch = tuple(caches), joined
        return joined

    def _check_caches(self, caches: Sequence, kind: type) -> None:
        if any(not isinstance(one, kind) or one.maker is not self.network.model for one in caches):
            raise CacheMismatch(
                'the templates were encoded by another model than the one that is to search with '
                'them; begin the sequence again with init.'
            )

    def _stack(self, crops: Sequence[np.ndarray]) -> torch.Tensor:
        """``(B, h, w, 3)`` on the device, still uint8; a single crop is not copied."""
        stacked = crops[0][None] if len(crops) == 1 else np.stack(crops)
        return torch.from_numpy(stacked).to(self.network.device)


class _Latest(threading.local):
    """The batch of caches that a thread joined last; a copy of a model begins without."""

    batch: tuple[tuple[TemplateCache, ...], TemplateCache | None] = ((), None)

    def __reduce__(self) -> tuple:
        return type(self), ()
