"""An exported model as the tracking loop sees it, whatever runs its two graphs."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from ..tracking.predictor import Prediction
from .errors import CacheMismatch
from .exported import Graph, check_pair
from .model_info import EXPORT_TOOL, TOKENS, ModelInfo, grows


@dataclass(frozen=True)
class GraphCache:
    """What the template graph made of the templates of one target.

    Attributes:
        arrays: One float32 array for each name in ``ModelInfo.cache``, of one target.
        model_hash: Of the model that made them.
    """

    arrays: tuple[np.ndarray, ...]
    model_hash: str


class GraphPredictor(ABC):
    """A :class:`~..tracking.predictor.BatchPredictor` on a template and a search graph.

    Several threads may use one.

    Args:
        template: The template graph.
        search: The search graph.

    Attributes:
        info: Metadata of the search graph.
        search_size: Side of the search crop in pixels.
        template_size: Side of a template crop in pixels.

    Raises:
        ExportedModelError: If the graphs do not belong together.
    """

    def __init__(self, template: Graph, search: Graph) -> None:
        check_pair(template, search)
        self.info = search.info
        self.search_size = self.info.search_size
        self.template_size = self.info.template_size
        self.outputs = [name for name in ('box', 'edges', 'score') if name in search.outputs]
        self._last = threading.local()

    @abstractmethod
    def _run_template(self, crops: np.ndarray) -> Sequence[np.ndarray]:
        """The cache tensors of uint8 crops ``(B, T, h, w, 3)``, in the order of ``info.cache``."""

    @abstractmethod
    def _run_search(self, crops: np.ndarray, placed: Any) -> Sequence[np.ndarray]:
        """``outputs`` for uint8 crops ``(B, S, S, 3)`` and what :meth:`_place` gave."""

    def _place(self, arrays: Sequence[np.ndarray]) -> Any:
        """Bring the cache tensors of a batch to where they are used again and again."""
        return arrays

    def encode_templates(self, crops: list[np.ndarray]) -> GraphCache:
        """Cache of uint8 crops ``(h, w, 3)``, the static template first."""
        return self.encode_templates_batch([crops])[0]

    def predict(self, search_crop: np.ndarray, cache: GraphCache) -> Prediction:
        """What the network says about one crop."""
        return self.predict_batch([search_crop], [cache])[0]

    def encode_templates_batch(self, crops: Sequence[list[np.ndarray]]) -> list[GraphCache]:
        """Caches of several targets with the same number of templates.

        Before its first update a target has one crop in every place. Equal templates have equal
        keys and values, so that crop is encoded once and its tokens are repeated.
        """
        caches: list[GraphCache | None] = [None] * len(crops)
        for once in (True, False):
            group = [i for i, one in enumerate(crops) if _is_one_crop(one) == once]
            if not group:
                continue
            encoded = self._encode([crops[i][:1] if once else crops[i] for i in group])
            for i, arrays in zip(group, encoded):
                if once and len(crops[i]) > 1:
                    arrays = [
                        np.concatenate([array] * len(crops[i]), axis=TOKENS)
                        if grows(name)
                        else array
                        for name, array in zip(self.info.cache, arrays)
                    ]
                caches[i] = GraphCache(tuple(arrays), self.info.model_hash)
        return caches

    def predict_batch(
        self, search_crops: Sequence[np.ndarray], caches: Sequence[GraphCache]
    ) -> list[Prediction]:
        """What :meth:`predict` gives for each pair; caches of as many templates, one forward.

        Raises:
            CacheMismatch: If a cache is of another model.
            ValueError: If a crop is not uint8 of the size that the model reads.
        """
        outputs = self._run_search(self._stack(search_crops, self.search_size), self._join(caches))
        found = dict(zip(self.outputs, outputs))
        scores = found['score'].tolist() if 'score' in found else repeat(None)
        edges = found.get('edges', repeat(None))
        return list(map(Prediction, found['box'].astype(np.float64), scores, edges))

    def _encode(self, crops: Sequence[list[np.ndarray]]) -> list[list[np.ndarray]]:
        """The cache tensors of each target, which keep nothing of the others in memory."""
        stacked = self._stack([crop for one in crops for crop in one], self.template_size)
        tensors = self._run_template(stacked.reshape(len(crops), -1, *stacked.shape[1:]))
        if len(crops) == 1:
            return [list(tensors)]
        return [[one[i : i + 1].copy() for one in tensors] for i in range(len(crops))]

    def _join(self, caches: Sequence[GraphCache]) -> Any:
        """The caches of a batch in one; the last one is kept, since frames come in a row."""
        last = getattr(self._last, 'caches', ())
        if len(caches) != len(last) or any(a is not b for a, b in zip(caches, last)):
            for cache in caches:
                self._check_cache(cache)
            tensors = zip(*(cache.arrays for cache in caches))
            arrays = [one[0] if len(one) == 1 else np.concatenate(one) for one in tensors]
            # Runtimes may use the memory of the arrays without keeping it.
            self._last.placed, self._last.arrays = self._place(arrays), arrays
            self._last.caches = tuple(caches)
        return self._last.placed

    def _check_cache(self, cache: GraphCache) -> None:
        if not isinstance(cache, GraphCache):
            raise CacheMismatch(
                f'the cache is a {type(cache).__name__}, expected what encode_templates of this '
                'predictor gave; a sequence stays with the predictor that began it.'
            )
        if cache.model_hash != self.info.model_hash:
            raise CacheMismatch(
                f'the templates were encoded by the model {cache.model_hash[:12]}, and this is '
                f'{self.info.name} {self.info.model_hash[:12]}; begin the sequence again with init.'
            )

    @staticmethod
    def _stack(crops: Sequence[np.ndarray], size: int) -> np.ndarray:
        """``(B, size, size, 3)``; a single crop is not copied."""
        for crop in crops:
            if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
                raise ValueError(
                    f'the crop is {crop.dtype} of shape {crop.shape}, expected uint8 RGB of shape '
                    f'{(size, size, 3)}; cut it with crop_region(frame, box, factor, size={size}).'
                )
        return np.ascontiguousarray(crops[0])[None] if len(crops) == 1 else np.stack(crops)


def count_threads(num_threads: int) -> int:
    """How many threads a runtime gets.

    Args:
        num_threads: 0 for ``OMP_NUM_THREADS`` if that is set, else for the cores that this process
            may use.

    Raises:
        ValueError: If it is negative.
    """
    if num_threads < 0:
        raise ValueError(
            f'num_threads is {num_threads}, expected a number of threads, or 0 for the cores that '
            'are there'
        )
    wanted = os.environ.get('OMP_NUM_THREADS', '').split(',')[0].strip()
    if num_threads or (wanted.isdigit() and int(wanted)):
        return num_threads or int(wanted)
    if hasattr(os, 'sched_getaffinity'):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_dtype(
    info: ModelInfo, wanted: str | None, runs: Mapping[str, Sequence[str]], runtime: str
) -> str:
    """What a runtime computes in.

    Args:
        info: Of the exported model.
        wanted: None for what was exported.
        runs: What models exported in a dtype can be run in.
        runtime: Its name, for the message.

    Raises:
        ValueError: If the runtime does not run the model in that dtype.
    """
    dtype, possible = wanted or info.dtype, runs.get(info.dtype, ())
    if dtype not in possible:
        ways = [f'choose dtype {name}' for name in possible]
        if dtype in runs:
            ways.append(f'export the checkpoint with {EXPORT_TOOL} --dtype {dtype}')
        raise ValueError(
            f'{runtime} does not run in {dtype} what was exported in {info.dtype} for '
            f'{info.backend}; {", or ".join([*ways, "choose another backend"])}.'
        )
    return dtype


def _is_one_crop(crops: list[np.ndarray]) -> bool:
    return all(crop is crops[0] for crop in crops)
