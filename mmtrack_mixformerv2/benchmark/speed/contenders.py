"""What can be timed side by side: backends, dtypes, with and without a cache of the templates."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from torch import nn

from ...analysis import multiply_adds, without_gradients
from ...apis import load_tracker
from ...deployment.backends import DTYPES, check_backend
from ...deployment.export import Target, check_target
from ...models.inference import InferenceNetwork
from ...published import publish
from ...runtime.errors import BackendNotInstalled, import_runtime
from ...runtime.onnxruntime_backend import check_provider
from ...tracking import Predictor

ALL = 'all'
# What each backend imports, besides torch.
PACKAGES = {
    'published': (),
    'torch': (),
    'onnxruntime': ('onnxruntime',),
    'openvino': ('openvino',),
    'tensorrt': ('onnxruntime',),
}


@dataclass(frozen=True)
class Contender:
    """One way to run the network.

    Attributes:
        backend: Key of ``DTYPES``, or ``'published'``.
        dtype: What the backbone computes in.
        compile: By ``torch.compile``.
        cached: Whether templates are encoded when they change, not at every frame.
    """

    backend: str
    dtype: str = 'float32'
    compile: bool = False
    cached: bool = True

    def __str__(self) -> str:
        if self == PUBLISHED:
            return 'published forward'
        words = [f'{self.backend} {self.dtype}']
        words += ['compiled'] * self.compile + ['uncached'] * (not self.cached)
        return ', '.join(words)


PUBLISHED = Contender('published', cached=False)


def choose(
    backends: Sequence[str],
    dtypes: Sequence[str],
    *,
    compile: bool = False,
    uncached: bool = False,
    exported: Collection[tuple[str, str]] = (),
) -> tuple[list[Contender], list[str]]:
    """The published forward and every pair of a backend and a dtype.

    Args:
        backends: Keys of ``DTYPES``; ``'all'`` stands for those that are installed, as far as they
            compute in the dtypes.
        dtypes: What to compute in.
        compile: Also each pair that ``torch.compile`` can do.
        uncached: Also each pair with templates that are encoded at every frame.
        exported: Pairs that need not be exported, since that has been done.

    Returns:
        The contenders, the published forward first, and a line for each that was left out.

    Raises:
        ValueError: If a backend does not exist, or does not compute in a dtype, or if nothing runs
            what was exported.
        BackendNotInstalled: If a package is missing.
    """
    everything = ALL in backends
    chosen, left_out = [PUBLISHED], []
    for backend in DTYPES if everything else dict.fromkeys(backends):
        for dtype in dict.fromkeys(dtypes):
            try:
                check_installed(backend, dtype, exported=(backend, dtype) in exported)
            except (ValueError, BackendNotInstalled) as error:
                if not everything:
                    raise
                left_out.append(f'{backend} {dtype} is left out: {error}')
                continue
            compiled = (False, True) if compile and backend == 'torch' else (False,)
            for cached in (True, False) if uncached else (True,):
                chosen += [Contender(backend, dtype, c, cached) for c in compiled]
    if idle := set(exported) - {(c.backend, c.dtype) for c in chosen}:
        backend, dtype = min(idle)
        raise ValueError(
            f'a model was exported for {backend} {dtype}, which is not among what is measured; add '
            'that backend and dtype, or leave the model out'
        )
    return chosen, left_out


def check_installed(backend: str, dtype: str, *, exported: bool = False) -> None:
    """Import what a backend needs and, unless that is done, what exports a model for it.

    Raises:
        ValueError: If the backend does not exist, or does not compute in the dtype.
        BackendNotInstalled: If something is missing.
    """
    check_backend(backend, dtype)
    for module in PACKAGES[backend]:
        import_runtime(module)
    if PACKAGES[backend] and not exported:
        check_target(Target(backend, dtype, Path()))
    if backend == 'tensorrt':
        check_provider(import_runtime('onnxruntime'), 'tensorrt')


class EncodedEveryFrame:
    """A predictor that keeps the crops of the templates, and encodes them for every prediction.

    Args:
        predictor: Does the work.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.search_size, self.template_size = predictor.search_size, predictor.template_size
        self.crops = getattr(predictor, 'crops', None)

    def encode_templates(self, crops: list[Any]) -> list[Any]:
        """The crops; equal ones are told apart, so that each is encoded."""
        return [copy.copy(crop) for crop in crops]

    def predict(self, search_crop: Any, cache: list[Any]) -> tuple[Sequence[float], float | None]:
        """As the predictor does with fresh templates."""
        return self.predictor.predict(search_crop, self.predictor.encode_templates(cache))


def build_model(cfg: Config, checkpoint: str | None) -> nn.Module:
    """The tracker of a test config on the device that there is; random weights are the same ones.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not fit, or the model is no tracker with a cache of templates.
    """
    kind = (cfg.get('model') or {}).get('type')
    if kind != 'TemplateSearchTracker':
        raise ValueError(
            f"the model of the config is {kind!r}, expected a 'TemplateSearchTracker'; use a test "
            'config, for instance configs/mixformerv2/mixformerv2-s_test-lasot.py'
        )
    if checkpoint is not None:
        return load_tracker(cfg, checkpoint)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    _settle(model)
    return model.to('cuda' if torch.cuda.is_available() else 'cpu')


@torch.no_grad()
def _settle(model: nn.Module) -> None:
    """Give the batch norms of random weights the statistics of a noisy image.

    Without, scores of all cells of a map may saturate, and then rounding chooses among them: boxes
    of two backends could not be compared.
    """
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # what it sees now is all that counts
    sides = model.backbone.template_size, model.backbone.search_size
    noise = (torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8) for side in sides)
    template, search = map(model.data_preprocessor.scale, noise)
    model.predict_boxes(search, model.backbone.encode_template(template[None]))
    for norm, momentum in zip(norms, momenta):
        norm.eval()
        norm.momentum = momentum


def count_work(model: nn.Module, contender: Contender) -> int:
    """Multiply-adds of the network for one frame.

    All backends do the same; they are counted in torch's.

    Args:
        model: The tracker.
        contender: Says what is done anew at every frame.
    """
    num_templates = 1 + model.loop.settings.num_online_templates
    with without_gradients(model), torch.inference_mode():
        network = InferenceNetwork.of(model)
        sizes = (network.search_size, network.template_size)
        search, template = (np.zeros((size, size, 3), np.uint8) for size in sizes)
        if contender == PUBLISHED:
            published = publish(model)
            kept = published.encode_templates([template] * num_templates)
            return multiply_adds(lambda: published.predict(search, kept))
        crops = torch.from_numpy(np.stack([template] * num_templates)).to(network.device)[None]
        searched = torch.from_numpy(search).to(network.device)[None]
        cache = network.encode_templates(crops)
        encoding = 0 if contender.cached else multiply_adds(lambda: network.encode_templates(crops))
        return encoding + multiply_adds(lambda: network.predict(searched, cache))
