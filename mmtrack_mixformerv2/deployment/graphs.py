"""The two graphs of an exported tracker: templates to cache, and search region to box.

Templates never see the search region, so their keys and values cross from one graph to the other.
Both graphs read crops as they are in memory, and scale them inside. They become floats before
anything else happens to them: TensorRT does nothing else to bytes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..models.inference import InferenceNetwork
from ..runtime.model_info import ModelInfo
from ..structures import TemplateCache
from .weights import hash_weights


class NotExportable(ValueError):
    """A tracker has a part that a graph cannot be made of."""


class TemplateGraph(nn.Module):
    """Crops of the templates to their keys and values.

    Args:
        network: A frozen copy, see :meth:`InferenceNetwork.frozen`.
    """

    inputs = ('crops',)

    def __init__(self, network: InferenceNetwork) -> None:
        super().__init__()
        self.network = network

    @property
    def outputs(self) -> list[str]:
        """Names of what :meth:`forward` gives."""
        return ['keys', 'values']

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Encode templates.

        Args:
            crops: RGB uint8 ``(B, T, h, w, 3)``, the static template first.

        Returns:
            Keys and values, float32 ``(B, depth, heads, T * Nt, head_dim)`` each.
        """
        cache = self.network.encode_templates(crops.float())
        return torch.stack(cache.keys, dim=1), torch.stack(cache.values, dim=1)


class SearchGraph(nn.Module):
    """Crop of a search region and the cache of its templates to the box.

    Args:
        network: A frozen copy, see :meth:`InferenceNetwork.frozen`.
    """

    inputs = ('crop', 'keys', 'values')

    def __init__(self, network: InferenceNetwork) -> None:
        super().__init__()
        self.network = network

    @property
    def outputs(self) -> list[str]:
        """Names of what :meth:`forward` gives."""
        has_edges = not getattr(self.network.model.box_head, 'direct', False)
        return ['box', *['edges'] * has_edges, *['score'] * self.network.has_score]

    def forward(self, crop: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        """Find the target.

        Args:
            crop: RGB uint8 ``(B, S, S, 3)``.
            keys: Float32 ``(B, depth, heads, N, head_dim)``, from :class:`TemplateGraph`.
            values: Likewise.

        Returns:
            Float32 tensors, named by :attr:`outputs`: the box ``(B, 4)``, xyxy in [0, 1] of the
            crop; the distributions of its edges ``(B, 4, bins)``, ordered left, top, right,
            bottom; the score ``(B,)`` in [0, 1].
        """
        cache = TemplateCache(list(keys.unbind(1)), list(values.unbind(1)))
        prediction = self.network.predict(crop.float(), cache)
        found = [prediction.boxes]
        if prediction.edge_logits is not None:
            found.append(prediction.edge_logits.softmax(dim=-1))
        if prediction.score_logits is not None:
            found.append(prediction.score_logits.sigmoid())
        return tuple(found)


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
            'of a TemplateSearchTracker, whose backbone encodes templates and search region apart, '
            'as PMAMViT does.'
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
        settings=model.loop.settings,
    )
