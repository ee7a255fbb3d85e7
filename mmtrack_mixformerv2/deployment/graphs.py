"""The two graphs of an exported tracker: templates to cache, and search region to box.

What is kept of the templates does not depend on the search region: it crosses from one graph to
the other. Both graphs read crops as they are in memory, and scale them inside. They become floats
before anything else happens to them: TensorRT does nothing else to bytes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..models.inference import InferenceNetwork
from ..models.part_checks import gives_edges
from ..runtime.model_info import ModelInfo
from ..structures import TemplateCache
from .weights import hash_weights


class NotExportable(ValueError):
    """A tracker has a part that a graph cannot be made of."""


class TemplateGraph(nn.Module):
    """Crops of the templates to what is kept of them.

    Args:
        network: A frozen copy, see :meth:`InferenceNetwork.frozen`.
    """

    inputs = ('crops',)

    def __init__(self, network: InferenceNetwork) -> None:
        super().__init__()
        self.network = network
        self.outputs = list(example_cache(network))

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Encode templates.

        Args:
            crops: RGB uint8 ``(B, T, h, w, 3)``, the static template first.

        Returns:
            The tensors of :meth:`TemplateCache.pack`, named by :attr:`outputs`, float32: ``keys``
            and ``values`` ``(B, blocks, heads, T * Nt, head_dim)``, or a pair of them for each
            stage of a backbone, and maps ``(B, ...)``.
        """
        return tuple(self.network.encode_templates(crops.float()).pack().values())


class SearchGraph(nn.Module):
    """Crop of a search region and the cache of its templates to the box.

    Args:
        network: A frozen copy, see :meth:`InferenceNetwork.frozen`.
    """

    def __init__(self, network: InferenceNetwork) -> None:
        super().__init__()
        self.network = network
        self.cache = tuple(example_cache(network))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` takes."""
        return ('crop', *self.cache)

    @property
    def outputs(self) -> list[str]:
        """Names of what :meth:`forward` gives."""
        has_edges = gives_edges(self.network.model.box_head)
        return ['box', *['edges'] * has_edges, *['score'] * self.network.has_score]

    def forward(self, crop: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        """Find the target.

        Args:
            crop: RGB uint8 ``(B, S, S, 3)``.
            *cache: What :class:`TemplateGraph` gives, in its order.

        Returns:
            Float32 tensors, named by :attr:`outputs`: the box ``(B, 4)``, xyxy in [0, 1] of the
            crop; the distributions of its edges ``(B, 4, bins)``, ordered left, top, right,
            bottom; the score ``(B,)`` in [0, 1].
        """
        unpacked = TemplateCache.unpack(dict(zip(self.cache, cache, strict=True)))
        prediction = self.network.predict(crop.float(), unpacked)
        found = [prediction.boxes]
        if prediction.edge_logits is not None:
            found.append(prediction.edge_logits.softmax(dim=-1))
        if prediction.score_logits is not None:
            found.append(prediction.score_logits.sigmoid())
        return tuple(found)


def example_cache(network: InferenceNetwork) -> dict[str, Tensor]:
    """The packed cache of one black template."""
    side = network.template_size
    crops = torch.zeros(1, 1, side, side, 3, device=network.device)
    with torch.inference_mode():
        return network.encode_templates(crops).pack()


GRAPHS = {'template': TemplateGraph, 'search': SearchGraph}


def check_exportable(model: nn.Module) -> None:
    """Find out whether a tracker has the parts that its graphs are made of.

    Raises:
        NotExportable: If it has not; it says what is missing.
    """
    backbone = getattr(model, 'backbone', None)
    missing = [name for name in ('encode_template', 'encode_search') if not hasattr(backbone, name)]
    if missing or not hasattr(model, 'apply_heads'):
        raise NotExportable(
            f'{type(model).__name__} with the backbone {type(backbone).__name__} cannot be '
            f'exported: it lacks {" and ".join(missing) or "apply_heads"}. The two graphs are made '
            'of a tracker that encodes templates and search region apart: MixFormerV2, MixViT, '
            'MixFormer (CvT), MVT, FERMT, or one that is built as they are.'
        )


def describe(model: nn.Module, *, graph: str, name: str, backend: str, dtype: str) -> ModelInfo:
    """Metadata of a graph of a tracker."""
    backbone = model.backbone
    return ModelInfo(
        graph=graph,
        name=name,
        model_hash=hash_weights(model),
        dtype=dtype,
        backend=backend,
        search_size=backbone.search_size,
        template_size=backbone.template_size,
        cache=tuple(example_cache(InferenceNetwork.of(model))),
        settings=model.loop.settings,
    )
