"""A torch model whose frames, crops and boxes stay on a GPU until the boxes are read back."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import numpy as np
import torch
from torch import Tensor, nn

from ..structures import TemplateCache
from .cuda_graphs import Step, StepCache, check_cuda, full_float32, on
from .device_crops import DeviceCrops
from .inference import InferenceNetwork
from .torch_predictor import TorchPredictor

_MAX_STEPS = 16
_ROUNDING = 8


@dataclass(frozen=True, eq=False)
class DeviceCache:
    """Keys and values of the templates of one sequence in one tensor, which one operation copies.

    Attributes:
        packed: ``(2 * depth, heads, T * Nt, head_dim)``, first the keys of all blocks.
        maker: The model whose cache this is.
    """

    packed: Tensor
    maker: nn.Module


class DevicePredictor(TorchPredictor):
    """As :class:`TorchPredictor`, with crops on the device and one CUDA graph for each step.

    A step is made for each batch size and number of template tokens, on buffers of its own: the
    crops, the caches, the boxes. A cache is copied to its place there only when it is new, or
    another sequence had the place. Boxes and scores come back in one copy, for which alone the
    host waits. Larger batches are rounded up to a multiple of eight, so that few graphs do.

    Threads may share a predictor: they take turns, on one CUDA stream. Products of float32 are
    computed without TF32, whatever torch's settings are.

    Args:
        network: A frozen one; its device is that of everything.
        graph: Whether to capture CUDA graphs; None for yes on a GPU. Without them, and on a CPU,
            steps run operation by operation on the same buffers.
        max_batch: Larger batches are divided.

    Attributes:
        crops: Cuts out what this predictor is to see.

    Raises:
        ValueError: If graphs are asked for and the network is not on a GPU, or ``max_batch`` is
            less than 1.
        RuntimeError: If torch cannot use the GPU.
    """

    def __init__(
        self, network: InferenceNetwork, *, graph: bool | None = None, max_batch: int = 64
    ) -> None:
        super().__init__(network)
        self.device = network.device
        if graph:
            check_cuda(self.device, 'CUDA graphs')
        if max_batch < 1:
            raise ValueError(f'max_batch is {max_batch}, expected 1 or more')
        self.graph = self.device.type == 'cuda' if graph is None else graph
        self.max_batch = max_batch
        self.crops = DeviceCrops(self.device, graph=self.graph)
        self._steps = StepCache(_MAX_STEPS)
        self._lock = threading.Lock()

    @torch.inference_mode()
    def encode_templates_batch(self, crops: Sequence[list[Tensor]]) -> list[DeviceCache]:
        """Caches of several sequences with the same number of templates, in one forward."""
        with self._lock, on(self.device), full_float32(self.device):
            caches = super().encode_templates_batch(crops)
            return [
                DeviceCache(torch.stack([part[0] for part in (*one.keys, *one.values)]), one.maker)
                for one in caches
            ]

    @torch.inference_mode()
    def predict_batch(
        self, search_crops: Sequence[Tensor], caches: Sequence[DeviceCache]
    ) -> list[tuple[np.ndarray, float | None]]:
        """What :meth:`predict` gives for each pair; caches of as many templates, one forward.

        Raises:
            CacheMismatch: If a cache is of another model.
        """
        self._check_caches(caches, DeviceCache)
        found = []
        for start in range(0, len(search_crops), self.max_batch):
            part = slice(start, start + self.max_batch)
            with self._lock, on(self.device):
                step = self._step_for(caches[part])
                rows = step.predict(self._on_device(search_crops[part]), caches[part])
            boxes, logits = rows.split([4, rows.shape[1] - 4], dim=1)
            scores = logits.sigmoid().flatten().tolist() if self.network.has_score else repeat(None)
            found += zip(boxes.numpy(), scores)
        return found

    def _step_for(self, caches: Sequence[DeviceCache]) -> _SearchStep:
        count, tokens = len(caches), caches[0].packed.shape[2]
        if count > _ROUNDING:
            count = -(-count // _ROUNDING) * _ROUNDING
        make = partial(_SearchStep, self.network, count, caches[0].packed, graph=self.graph)
        return self._steps.get((count, tokens), make)

    def _stack(self, crops: Sequence[Tensor]) -> Tensor:
        return torch.stack(self._on_device(crops))

    def _on_device(self, crops: Sequence[Tensor]) -> list[Tensor]:
        """The crops on the device; arrays are taken too."""
        return [torch.as_tensor(crop, device=self.device) for crop in crops]


class _SearchStep(Step):
    """Predictions for up to ``batch`` sequences; the places that are not used compute in vain."""

    def __init__(
        self, network: InferenceNetwork, batch: int, packed: Tensor, *, graph: bool
    ) -> None:
        size, device = network.search_size, network.device
        crops = torch.zeros(batch, size, size, 3, dtype=torch.uint8, device=device)
        parts, *shape = packed.shape
        # A place is one row, so that each block sees contiguous keys (batch, ...) of all places.
        caches = torch.zeros(parts, batch, *shape, dtype=packed.dtype, device=device)
        super().__init__(partial(_predict, network), (crops, caches), graph=graph)
        self._placed = [_no_cache] * batch
        on_gpu = device.type == 'cuda'
        columns = 4 + network.has_score
        self._read = torch.empty(batch, columns, dtype=torch.float32, pin_memory=on_gpu)
        self._done = torch.cuda.Event() if on_gpu else None

    def predict(self, crops: list[Tensor], caches: Sequence[DeviceCache]) -> Tensor:
        """Boxes and, if there is a score head, score logits: ``(count, 4 or 5)``, on the host."""
        static_crops, static_caches = self.inputs
        torch.stack(crops, out=static_crops[: len(crops)])
        for place, cache in enumerate(caches):
            if self._placed[place]() is not cache:
                static_caches[:, place].copy_(cache.packed)
                self._placed[place] = weakref.ref(cache)
        self._read.copy_(self.run(), non_blocking=True)
        if self._done is not None:
            self._done.record()
            self._done.synchronize()
        return self._read[: len(crops)].double()


def _no_cache() -> None:
    """What a weak reference gives whose cache is gone."""


def _predict(network: InferenceNetwork, crops: Tensor, packed: Tensor) -> Tensor:
    """Boxes and, if there is a score head, score logits: ``(B, 4 or 5)``."""
    depth = len(packed) // 2
    cache = TemplateCache(list(packed[:depth]), list(packed[depth:]))
    prediction = network.predict(crops, cache)
    if prediction.score_logits is None:
        return prediction.boxes.float()
    return torch.cat([prediction.boxes, prediction.score_logits[:, None]], dim=1).float()
