"""A torch model whose frames, crops and boxes stay on a GPU until the boxes are read back."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import torch
from torch import Tensor, nn

from ..runtime.model_info import grows
from ..structures import TemplateCache
from ..tracking.predictor import Prediction
from .cuda_graphs import Step, StepCache, check_cuda, full_float32, on
from .device_crops import DeviceCrops
from .inference import InferenceNetwork
from .torch_predictor import TorchPredictor

_MAX_STEPS = 16
_ROUNDING = 8


@dataclass(frozen=True, eq=False)
class DeviceCache:
    """What is kept of the templates of one sequence, in few tensors, which are copied one by one.

    Attributes:
        packed: Made by :meth:`TemplateCache.pack` along dimension 0: keys and values
            ``(blocks, 1, heads, T * Nt, head_dim)``, maps ``(1, ...)``.
        num_tokens: Template tokens of the first block.
        maker: The model whose cache this is.
    """

    packed: dict[str, Tensor]
    num_tokens: int
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
            return [DeviceCache(one.pack(dim=0), one.num_tokens, one.maker) for one in caches]

    @torch.inference_mode()
    def predict_batch(
        self, search_crops: Sequence[Tensor], caches: Sequence[DeviceCache]
    ) -> list[Prediction]:
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
            found += self._read(rows)
        return found

    def _read(self, rows: Tensor) -> Iterator[Prediction]:
        """Predictions of rows as :func:`_predict` gives them, on the host."""
        scored = int(self.network.has_score)
        boxes, logits, edges = rows.split([4, scored, rows.shape[1] - 4 - scored], dim=1)
        scores = logits.double().sigmoid().flatten().tolist() if scored else repeat(None)
        edges = edges.unflatten(1, (4, -1)).numpy() if edges.shape[1] else repeat(None)
        return map(Prediction, boxes.double().numpy(), scores, edges)

    def _step_for(self, caches: Sequence[DeviceCache]) -> _SearchStep:
        count, tokens = len(caches), caches[0].num_tokens
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
        self, network: InferenceNetwork, batch: int, packed: dict[str, Tensor], *, graph: bool
    ) -> None:
        size, device = network.search_size, network.device
        crops = torch.zeros(batch, size, size, 3, dtype=torch.uint8, device=device)
        # Each block sees contiguous keys (batch, ...) of all places.
        self._caches = {
            name: torch.cat([torch.zeros_like(one)] * batch, dim=_batch_axis(name))
            for name, one in packed.items()
        }
        function = partial(_predict, network, tuple(packed))
        super().__init__(function, (crops, *self._caches.values()), graph=graph)
        self._placed = [_no_cache] * batch
        self._on_gpu = device.type == 'cuda'
        self._host: Tensor | None = None  # as large as the output, once it is known
        self._done = torch.cuda.Event() if self._on_gpu else None

    def predict(self, crops: list[Tensor], caches: Sequence[DeviceCache]) -> Tensor:
        """Rows of :func:`_predict` for the crops, on the host, of which the caller has a copy."""
        torch.stack(crops, out=self.inputs[0][: len(crops)])
        for place, cache in enumerate(caches):
            if self._placed[place]() is not cache:
                for name, one in cache.packed.items():
                    self._caches[name].narrow(_batch_axis(name), place, 1).copy_(one)
                self._placed[place] = weakref.ref(cache)
        output = self.run()
        if self._host is None:
            self._host = torch.empty_like(output, device='cpu', pin_memory=self._on_gpu)
        self._host.copy_(output, non_blocking=True)
        if self._done is not None:
            self._done.record()
            self._done.synchronize()
        return self._host[: len(crops)].clone()


def _no_cache() -> None:
    """What a weak reference gives whose cache is gone."""


def _batch_axis(name: str) -> int:
    """Of a tensor of a cache that was packed along dimension 0."""
    return int(grows(name))


def _predict(
    network: InferenceNetwork, names: tuple[str, ...], crops: Tensor, *packed: Tensor
) -> Tensor:
    """Boxes, the score logit if there is one, and edge probabilities: ``(B, 4 [+ 1] [+ 4 bins])``.

    One tensor, so that one copy brings everything to the host.
    """
    cache = TemplateCache.unpack(dict(zip(names, packed)), dim=0)
    prediction = network.predict(crops, cache)
    columns = [prediction.boxes]
    if prediction.score_logits is not None:
        columns.append(prediction.score_logits[:, None])
    if prediction.edge_logits is not None:
        columns.append(prediction.edge_logits.float().softmax(dim=-1).flatten(1))
    return torch.cat([column.float() for column in columns], dim=1)
