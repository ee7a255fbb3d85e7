"""Size and cost of a tracker: parameters of its parts, and multiply-adds of a frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .models.distillation import tracker_settings
from .published import publish


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a module; ``total`` includes the frozen ones."""

    total: int
    trainable: int


@dataclass(frozen=True)
class FrameCost:
    """Multiply-adds of matrix products and convolutions for one frame.

    Attributes:
        templates: Of ``encode_template``, which runs only when a template changes.
        search: Of ``encode_search``, which does for the heads what they read.
        heads: Of neck and heads.
        published: Of a frame of the published tracker, which keeps less of the templates and
            finishes tokens that nothing reads; None if nobody published one with such a backbone.
        published_attention: Of it, those of activations with each other: the two products of
            attention, and of correlation. Counters that look at layers do not see them.
    """

    templates: int
    search: int
    heads: int
    published: int | None = None
    published_attention: int | None = None

    @property
    def with_cache(self) -> int:
        """Of a frame whose templates are cached."""
        return self.search + self.heads

    @property
    def without_cache(self) -> int:
        """Of a frame that encodes the templates as well."""
        return self.templates + self.with_cache


@dataclass(frozen=True)
class Analysis:
    """What there is to say about the model of a config.

    Attributes:
        parameters: By part, and under ``all``.
        cost: Of a frame.
        num_templates: Templates that the cost is for, the static one included.
        search_size: Side of the search region in pixels.
        template_size: Side of a template in pixels.
    """

    parameters: dict[str, ParameterCount]
    cost: FrameCost
    num_templates: int
    search_size: int
    template_size: int


def analyse(config: Config) -> Analysis:
    """Build the model of a config and count its parameters and the cost of a frame.

    Of a stage of distillation, the tracker is counted that it ends with, without its teacher.

    Raises:
        ValueError: If the config has no model, or one that is no ``TemplateSearchTracker``.
    """
    kind = config.get('model', {}).get('type')
    if kind not in ('TemplateSearchTracker', 'DistillationSOT'):
        raise ValueError(
            f"the model of the config is {kind!r}, expected a 'TemplateSearchTracker', whose "
            'templates and search region are encoded separately.'
        )
    with torch.device('meta'):  # sizes are all that counts
        model = MODELS.build(tracker_settings(config)).eval()
    num_templates = 1 + model.loop.settings.num_online_templates
    return Analysis(
        count_parameters(model),
        count_multiply_adds(model, num_templates),
        num_templates,
        model.backbone.search_size,
        model.backbone.template_size,
    )


def count_parameters(model: nn.Module) -> dict[str, ParameterCount]:
    """Parameters of each part of a model that has some, and of ``all``."""
    parts = {name: _count(part) for name, part in model.named_children()}
    return {**{name: n for name, n in parts.items() if n.total}, 'all': _count(model)}


def _count(module: nn.Module) -> ParameterCount:
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return ParameterCount(sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained))


def count_multiply_adds(model: nn.Module, num_templates: int) -> FrameCost:
    """Count what one frame of a ``TemplateSearchTracker`` costs, by running it on zeros.

    Args:
        model: The tracker; it is run as it is, on its device.
        num_templates: Templates in the cache, the static one included.
    """
    backbone = model.backbone
    like = next(backbone.parameters())
    templates = like.new_zeros(1, num_templates, 3, *[backbone.template_size] * 2)
    search = like.new_zeros(1, 3, *[backbone.search_size] * 2)
    with without_gradients(model):
        encoded, cache = _counted(lambda: backbone.encode_template(templates))
        searched, features = _counted(
            lambda: backbone.encode_search(search, cache, tokens_only=model.tokens_only)
        )
        predicted, _ = _counted(lambda: model.apply_heads(features))
        published = _count_published(model, templates[0], search)
    return FrameCost(encoded, searched, predicted, *published)


def _count_published(
    model: nn.Module, templates: Tensor, search: Tensor
) -> tuple[int, int] | tuple[None, None]:
    """Multiply-adds of a frame of the published tracker, and those of activations alone."""
    try:
        published = publish(model)
    except ValueError:
        return None, None
    kept = published.keep(templates)
    counts, _ = _count_by_operator(lambda: published.forward(kept, search))
    return sum(counts.values()), counts[torch.ops.aten.bmm]  # all else is with weights


@contextmanager
def without_gradients(model: nn.Module) -> Iterator[None]:
    """Nothing needs a gradient: torch cannot count where a parameter goes straight into a layer."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def multiply_adds(run: Callable[[], object]) -> int:
    """Count those of the matrix products and convolutions that torch does in ``run()``.

    See :func:`without_gradients`.
    """
    return _counted(run)[0]


def _counted(run: Callable[[], object]) -> tuple[int, Any]:
    """The multiply-adds of ``run()``, and what it gives."""
    counts, result = _count_by_operator(run)
    return sum(counts.values()), result


def _count_by_operator(run: Callable[[], object]) -> tuple[Counter, Any]:
    # The counter knows no fused attention of the CPU; the plain one is two products it does know.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        result = run()
    operators = counter.get_flop_counts().get('Global', {})
    return Counter({operator: flops // 2 for operator, flops in operators.items()}), result
