"""What a report page holds, as JSON takes it. Its scripts in ``report_files`` read it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..tracking import EdgeDistributions, TrackResult
from ..tracking.track_log import TrackLog
from .frame_album import FrameAlbum, encode_jpeg
from .frame_explanation import FrameExplanation

_CROP_QUALITY = 85


def report_data(
    album: FrameAlbum,
    tracks: Sequence[TrackLog],
    explanations: Sequence[Mapping[int, FrameExplanation]],
    truth_xywh: np.ndarray | None,
    rate: float | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Everything that the page shows; arguments as for :func:`~.report.write_report`."""
    pictures = album.pictures
    truth = None if truth_xywh is None else _boxes(truth_xywh, album.count, with_area=True)
    return {
        'count': album.count,
        'size': list(album.frame_size),
        'rate': rate,
        'notes': [*notes, *_notes(album, pictures, tracks, truth_xywh)],
        'pictures': {
            'frames': list(pictures),
            'jpeg': [_text(picture) for picture in pictures.values()],
        },
        'truth': truth,
        'tracks': [
            _track_data(track, album.count, pictures, truth, explained)
            for track, explained in zip(tracks, explanations)
        ],
    }


def _notes(
    album: FrameAlbum,
    pictures: Mapping[int, bytes],
    tracks: Sequence[TrackLog],
    truth_xywh: np.ndarray | None,
) -> list[str]:
    """What a reader has to know about what is missing."""
    notes = []
    if album.step > 1:
        pinned = ', and those with attention' if album.pinned else ''
        notes.append(
            f'To keep this file small, {len(pictures)} of {album.count} frames have a picture: one '
            f'in {album.step}{pinned}. Curves and tables are of all frames.'
        )
    width = min(album.frame_size[0], album.limits.width)
    if width < album.frame_size[0]:
        notes.append(f'The pictures are scaled down to a width of {width} pixels.')
    for track in tracks:
        if len(track) != album.count:
            notes.append(
                f'{track.name} has results for {len(track)} frames, and there are {album.count}.'
            )
    if truth_xywh is not None and len(truth_xywh) not in (1, album.count):
        notes.append(
            f'The annotation has {len(truth_xywh)} boxes, and there are {album.count} frames.'
        )
    return notes


def _track_data(
    track: TrackLog,
    count: int,
    shown: Mapping[int, bytes],
    truth: Sequence[list[float] | None] | None,
    explained: Mapping[int, FrameExplanation],
) -> dict[str, Any]:
    results = track.results[:count]
    boxes = _boxes([one.box_xywh for one in results], count)
    return {
        'name': track.name,
        'boxes': boxes,
        'score': _numbers([one.score for one in results], count),
        'confidence': _numbers([one.confidence for one in results], count),
        'states': _pad([one.state and str(one.state) for one in results], count),
        'updates': [index for index, one in enumerate(results) if one.template_updated],
        'overlap': _numbers(
            [_overlap(box, true) for box, true in zip(boxes, truth or [None] * count)], count
        ),
        'edges': {
            str(index): edges_data(results[index].edges)
            for index in shown
            if _has_edges(results, index)
        },
        'explanations': {
            str(index): explanation_data(explained[index]) for index in shown if index in explained
        },
    }


def _has_edges(results: Sequence[TrackResult], index: int) -> bool:
    return index < len(results) and results[index].edges is not None


def edges_data(edges: EdgeDistributions) -> dict[str, Any]:
    """Edge distributions: each as one byte per bin, relative to its peak, and where it lies."""
    probabilities = np.nan_to_num(np.asarray(edges.probabilities, np.float64))
    return {
        'bytes': _text(_as_bytes(probabilities, probabilities.max(axis=1, keepdims=True))),
        'range': np.round(edges.positions[:, [0, -1]], 2).tolist(),
        'spread': _numbers(edges.spread, 4),
    }


def explanation_data(explanation: FrameExplanation) -> dict[str, Any]:
    """Attention and similarity as one byte per patch.

    Attention of one token and layer is relative to its strongest patch, in the search region and in
    the templates separately; ``shares`` says which part of all attention these two get. Similarity
    is relative to the highest; what is opposite to the target counts as 0.
    """
    search, templates = explanation.search_attention, explanation.template_attention
    shares = np.stack([search.sum(axis=(2, 3)), templates.sum(axis=(2, 3, 4))], axis=-1)
    most = float(np.max(explanation.similarity))
    return {
        'crop': _picture(explanation.crop),
        'region': _numbers(explanation.region_xywh, 4),
        'box': None if explanation.box_norm is None else _numbers(explanation.box_norm, 4),
        'templates': [_picture(template) for template in explanation.templates],
        'layers': list(explanation.layers),
        'queries': list(explanation.queries),
        'grid': list(search.shape[2:]),
        'templateGrid': list(templates.shape[3:]),
        'searchAttention': _text(_as_bytes(search, search.max(axis=(2, 3), keepdims=True))),
        'templateAttention': _text(
            _as_bytes(templates, templates.max(axis=(2, 3, 4), keepdims=True))
        ),
        'shares': [[_numbers(pair, 2) for pair in layer] for layer in shares],
        'similarity': _text(_as_bytes(explanation.similarity, max(most, 0.0))),
        'mostSimilar': round(most, 4),
    }


def _picture(rgb: np.ndarray) -> str:
    return _text(encode_jpeg(np.ascontiguousarray(rgb[..., ::-1]), _CROP_QUALITY))


def _as_bytes(values: np.ndarray, peak: np.ndarray | float) -> bytes:
    relative = values / np.maximum(peak, np.finfo(np.float32).tiny)
    return np.round(255 * np.clip(relative, 0, 1)).astype(np.uint8).tobytes()


def _text(code: bytes) -> str:
    return base64.b64encode(code).decode('ascii')


def _pad(values: Sequence[Any], count: int) -> list[Any]:
    return [*values, *[None] * count][:count]


def _numbers(values: Sequence[float | None], count: int) -> list[float | None]:
    """With None for what is no finite number, and at the end up to ``count``."""
    finite = [
        None if value is None or not np.isfinite(value) else round(float(value), 4)
        for value in values
    ]
    return _pad(finite, count)


def _boxes(
    boxes_xywh: Sequence[Sequence[float]], count: int, *, with_area: bool = False
) -> list[list[float] | None]:
    boxes = [
        [round(float(value), 2) for value in box]
        if np.isfinite(box).all() and (not with_area or min(box[2:]) > 0)
        else None
        for box in boxes_xywh
    ]
    return _pad(boxes, count)


def _overlap(box_xywh: Sequence[float] | None, true_xywh: Sequence[float] | None) -> float | None:
    """Intersection over union; None without an annotation, 0 without a box."""
    if true_xywh is None:
        return None
    if box_xywh is None:
        return 0.0
    (x, y, w, h), (u, v, a, b) = box_xywh, true_xywh
    common = max(0.0, min(x + w, u + a) - max(x, u)) * max(0.0, min(y + h, v + b) - max(y, v))
    union = w * h + a * b - common
    return common / union if common > 0 else 0.0
