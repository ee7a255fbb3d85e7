"""Where a tracker looks in one frame: attention of its tokens, and what resembles the target.

The numbers behind Figs. 5 and 6 of MixFormerV2 (arXiv 2305.15896). They are those of the network
that tracks, in its own precision; neither it nor the sequence is changed. The templates are encoded
anew from their crops, so the state may come from any backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models.inference import InferenceNetwork
from ..structures import BoxPrediction, Features, TemplateCache
from ..tracking import SequenceState, SequenceTracker
from .frame_explanation import EDGES, FrameExplanation


@torch.inference_mode()
def explain_frame(model: Any, frame: np.ndarray, state: SequenceState) -> FrameExplanation:
    """Where the tracker looks in the next frame of a sequence; call it before tracking that frame.

    Without prediction tokens (MixViT) there is one query, the search token at the centre of the
    predicted box.

    Args:
        model: A :class:`~mmtrack_mixformerv2.models.TemplateSearchTracker` in evaluation mode, or
            what tracks with one: anything that has its
            :class:`~mmtrack_mixformerv2.tracking.SequenceTracker` in ``loop``, or that itself.
        frame: RGB uint8 ``(height, width, 3)``, as for ``track``.
        state: Of the sequence, as it is before this frame; is not changed.

    Raises:
        TypeError: If the network does not run in torch, or its backbone cannot tell.
        ValueError: If it is in training mode, or the frame is of another size than the first one.
    """
    loop = getattr(model, 'loop', model)
    network = _network_of(loop)
    look = loop.look(frame, state)
    crop, templates = _to_array(look.crop), [_to_array(one) for one in state.memory.templates]
    seen = _see(network, crop, templates)
    num_given, num_search = seen.cache.num_tokens, seen.features.search.shape[1]
    rows = np.stack([_to_array(rows[0].float().mean(0)) for rows in seen.attention.values()])
    given, searched, own = np.split(rows, [num_given, num_given + num_search], axis=-1)
    lead, side, count = rows.shape[:2], math.isqrt(num_search), len(templates)
    template_side = math.isqrt(num_given // count)
    similarity = np.stack(
        [
            target_similarity(
                _to_array(seen.features.layers[i][0, :num_search].float()),
                _to_array(seen.cache.layers[i][0].float()).reshape(count, num_given // count, -1),
                loop.settings.template_factor,
            ).reshape(side, side)
            for i in seen.attention
        ]
    )
    found = seen.prediction
    return FrameExplanation(
        crop=crop,
        region_xywh=_region(state.box_xywh, network.search_size / look.resize_factor),
        templates=templates,
        search_attention=searched.reshape(*lead, side, side),
        template_attention=given.reshape(*lead, count, template_side, template_side),
        similarity=similarity[max(0, len(similarity) - 2)],
        layer_similarity=similarity,
        token_attention=own,
        queries=_name_queries(network.model.backbone.num_prediction_tokens),
        layers=tuple(seen.attention),
        box_norm=_to_array(found.boxes[0].double()),
        edges=None if found.edge_logits is None else _to_array(found.edge_logits[0].softmax(-1)),
        score=None if found.score_logits is None else found.score_logits[0].sigmoid().item(),
    )


def target_similarity(
    search: np.ndarray, templates: np.ndarray, template_factor: float
) -> np.ndarray:
    """How much each patch of the search region resembles the target in the templates.

    The target's feature is the mean over the patches of all templates whose centres lie on the
    target. How wide and high it was is not kept with a template, only that its crop is
    ``template_factor`` times as wide as the square with the target's area: that square, in the
    middle, is taken for the target. Where it holds no centre of a patch, the patches next to the
    middle are taken.

    Features of transformers have much in common wherever they come from, which says nothing about
    where the target is. So the mean feature of the search region is subtracted from all of them.

    Args:
        search: Features of the search region, ``(Ns, C)``.
        templates: Features of the templates after the same layer, ``(T, Nt, C)``, row by row.
        template_factor: As in the settings of the tracking loop.

    Returns:
        Cosine ``(Ns,)`` in [-1, 1], float32, of the angle to the target's feature; 0 for a feature
        without direction.
    """
    on_target = _target_patches(math.isqrt(templates.shape[1]), template_factor)
    common = search.mean(axis=0, dtype=np.float64)
    target = templates[:, on_target.ravel()].mean(axis=(0, 1), dtype=np.float64) - common
    search = search - common
    lengths = np.linalg.norm(search, axis=1) * np.linalg.norm(target)
    cosine = (search @ target) / np.maximum(lengths, np.finfo(np.float64).tiny)
    return np.clip(cosine, -1, 1).astype(np.float32)


def _target_patches(side: int, template_factor: float) -> np.ndarray:
    """Which patches of a template show the target, bools of shape ``(side, side)``."""
    distance = np.abs((np.arange(side) + 0.5) / side - 0.5)
    near = distance < max(0.5 / template_factor, distance.min() + 1e-9)
    return near[:, None] & near


class _Seen(NamedTuple):
    """What the network made of one search region."""

    cache: TemplateCache
    features: Features
    attention: dict[int, Tensor]
    prediction: BoxPrediction


def _see(network: InferenceNetwork, crop: np.ndarray, templates: list[np.ndarray]) -> _Seen:
    backbone = network.model.backbone
    search = network.scale(torch.from_numpy(crop[None]).to(network.device))
    given = network.scale(torch.from_numpy(np.stack(templates)).to(network.device))
    with network.autocast():
        cache = backbone.encode_template(given[None], out_layers=True)
    queries = None
    if not backbone.num_prediction_tokens:
        with network.autocast():
            features = backbone.encode_search(search, cache)
        box = network.apply_heads(features).boxes[0].tolist()
        queries = [_token_at_centre(box, math.isqrt(features.search.shape[1]))]
    with network.autocast():
        features, attention = backbone.explain_search(search, cache, queries)
    return _Seen(cache, features, attention, network.apply_heads(features))


def _token_at_centre(box_norm: list[float], side: int) -> int:
    """Search token under the centre of a box, or the nearest one."""
    left, top, right, bottom = box_norm
    column, row = (
        min(max(0, math.floor((first + last) / 2 * side)), side - 1)
        for first, last in ((left, right), (top, bottom))
    )
    return row * side + column


def _network_of(loop: SequenceTracker) -> InferenceNetwork:
    network = getattr(getattr(loop, 'predictor', None), 'network', None)
    if not isinstance(network, InferenceNetwork):
        raise TypeError(
            f'attention of {type(getattr(loop, "predictor", loop)).__name__} cannot be read, '
            "expected a model that runs in torch; exported files do not give it: use the model's "
            'config and checkpoint.'
        )
    if not hasattr(network.model.backbone, 'explain_search'):
        raise TypeError(
            f'its backbone, {type(network.model.backbone).__name__}, does not give its attention; '
            'that of MixFormerV2 and MixViT does.'
        )
    if network.model.training:
        raise ValueError(
            'the model is in training mode, in which it drops branches at random; call '
            'model.eval() first.'
        )
    return network


def _name_queries(count: int) -> tuple[str, ...]:
    if count == len(EDGES):
        return EDGES
    return tuple(f'token {i}' for i in range(count)) if count else ('box centre',)


def _region(around_xywh: Sequence[float], side: float) -> tuple[float, float, float, float]:
    """The square that boxes are mapped from, see :func:`~.tracking.region.region_to_image`."""
    x, y, w, h = (float(value) for value in around_xywh)
    return x + (w - side) / 2, y + (h - side) / 2, side, side


def _to_array(values: Tensor | np.ndarray) -> np.ndarray:
    return values.cpu().numpy() if isinstance(values, Tensor) else values
