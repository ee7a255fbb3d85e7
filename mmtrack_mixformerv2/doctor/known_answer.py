"""The known-answer test: a drawn target that is always the same, and what must come out.

The crops are drawn with whole numbers only, so they are the same bytes on every machine. For
weights of ours the boxes are stored in :data:`KNOWN`; for others, what every tracker has to do is
checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..tracking.predictor import BatchPredictor
    from ..tracking.settings import TrackingSettings

# Of the search crop, in which the target is drawn; width over height of the target.
CENTRES = ((0.5, 0.5), (0.42, 0.56), (0.6, 0.45))
ASPECTS = (1.0, 1.0, 1.3)
TOLERANCE = 0.05  # pixels of the search crop
_UNIT = 1 << 12  # parts of a crop's side in which is drawn


class Factors(NamedTuple):
    """How large the target is drawn: sides of the crops over that of the target."""

    search: float
    template: float


class Scene(NamedTuple):
    """What a tracker is shown.

    Attributes:
        template: RGB uint8 ``(T, T, 3)``, the target in its middle.
        searches: RGB uint8 ``(S, S, 3)`` each.
        boxes: Where the target is in them, xyxy in pixels, float64 ``(N, 4)``.
    """

    template: np.ndarray
    searches: list[np.ndarray]
    boxes: np.ndarray


class Answer(NamedTuple):
    """What a tracker said.

    Attributes:
        boxes: xyxy in pixels of the search crop, float64 ``(N, 4)``.
        scores: In [0, 1], ``(N,)``, or None.
    """

    boxes: np.ndarray
    scores: np.ndarray | None


@dataclass(frozen=True)
class Known:
    """What weights are known to answer.

    Attributes:
        name: Of the weights, for people.
        factors: Those the scene was drawn with.
        boxes: xyxy in pixels of the search crops.
    """

    name: str
    factors: Factors
    boxes: tuple[tuple[float, float, float, float], ...]


# By :func:`hash_boxes`. Made by ``python -m mmtrack_mixformerv2.doctor.trial CONFIG FILE``.
KNOWN: dict[str, Known] = {
    '81c779195e41d26a7dd0894bb951fcc0a6268fb0e05a95bea76997c1928ea3e7': Known(
        'mixformerv2-tiny_synthetic',
        Factors(3.5, 2.0),
        (
            (24.614, 25.292, 46.049, 45.734),
            (18.561, 28.402, 42.234, 50.184),
            (29.737, 21.004, 54.234, 41.516),
        ),
    ),
}


def make_scene(search_size: int, template_size: int, factors: Factors) -> Scene:
    """Draw the crops for a tracker of these sizes in pixels."""
    side = 1 / factors.search
    boxes = [_box(*centre, side, aspect) for centre, aspect in zip(CENTRES, ASPECTS)]
    return Scene(
        _draw(template_size, _box(0.5, 0.5, 1 / factors.template, 1.0)),
        [_draw(search_size, box) for box in boxes],
        np.array(boxes, np.float64) * search_size / _UNIT,
    )


def factors_of(settings: TrackingSettings) -> Factors:
    """As the tracking loop cuts its crops."""
    return Factors(float(settings.search_factor), float(settings.template_factor))


def ask(predictor: BatchPredictor, scene: Scene) -> Answer:
    """The answer of a network, for all search crops in one forward, with one cache."""
    cache = predictor.encode_templates([scene.template])
    return _answer(
        predictor.predict_batch(scene.searches, [cache] * len(scene.searches)),
        predictor.search_size,
    )


def ask_afresh(predictor: BatchPredictor, scene: Scene) -> Answer:
    """The same, one crop after the other, the template encoded again for each."""
    predictions = []
    for search in scene.searches:
        cache = predictor.encode_templates([scene.template.copy()])
        predictions.append(predictor.predict(search.copy(), cache))
    return _answer(predictions, predictor.search_size)


def difference(one: Answer, other: Answer) -> float:
    """Largest difference of an edge in pixels of the crop; of a score, in hundredths."""
    far = np.abs(one.boxes - other.boxes).max()
    if one.scores is not None and other.scores is not None:
        far = max(far, 100 * np.abs(one.scores - other.scores).max())
    return float(far)


def faults(answer: Answer, search_size: int) -> list[str]:
    """What no tracker may say: boxes that are none or leave the region, scores out of range."""
    found = []
    boxes, slack = answer.boxes, 1e-3 * search_size
    if not np.isfinite(boxes).all():
        return ['boxes are not numbers']
    if (boxes[:, 2:] < boxes[:, :2] - slack).any():
        found.append('right is left of left, or bottom above top')
    if (boxes < -slack).any() or (boxes > search_size + slack).any():
        found.append('boxes leave the search region')
    scores = answer.scores
    if scores is not None and not ((scores >= 0) & (scores <= 1)).all():
        found.append(f'scores are {scores.tolist()}, expected numbers in [0, 1]')
    return found


def overlap(answer: Answer, scene: Scene) -> float:
    """Mean IoU of the boxes with the drawn targets."""
    ours, true = answer.boxes, scene.boxes
    sides = np.minimum(ours[:, 2:], true[:, 2:]) - np.maximum(ours[:, :2], true[:, :2])
    shared = sides.clip(min=0).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1) for boxes in (ours, true)]
    return float((shared / (areas[0] + areas[1] - shared)).mean())


def hash_boxes(state: Mapping[str, Any]) -> str:
    """SHA-256 of the weights that boxes depend on: backbone and box head, 64 digits.

    A score head that is added later, or trained, leaves it as it is, and so does the type in
    which the same numbers are stored.

    Args:
        state: Tensors by our names.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.startswith(('backbone.', 'box_head.')):
            values = state[name].detach().cpu().float().contiguous().numpy()
            digest.update(f'{name} {values.shape}'.encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def _answer(predictions: Sequence[Any], search_size: int) -> Answer:
    boxes = np.array([np.asarray(one[0], np.float64) for one in predictions]) * search_size
    scores = [one[1] for one in predictions]
    return Answer(boxes, None if scores[0] is None else np.array(scores, np.float64))


def _box(x: float, y: float, side: float, aspect: float) -> tuple[int, int, int, int]:
    """xyxy in units of the drawing, of a target with this side (root of its area)."""
    width, height = side * aspect**0.5, side / aspect**0.5
    edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return tuple(round(edge * _UNIT) for edge in edges)


def _draw(size: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """RGB uint8 ``(size, size, 3)``: a red and yellow target on a bluish ground."""
    y, x = ((2 * one + 1) * _UNIT // (2 * size) for one in np.mgrid[:size, :size])
    ground = [
        70 + _wave(x + 2 * y, 700) // 16,
        100 + _wave(3 * x - y, 900) // 18,
        140 + _wave(x - 2 * y, 800) // 16,
    ]
    left, top, right, bottom = box
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    # Position in the target, so that it looks the same at every size.
    u, v = (x - left) * 1024 // (right - left), (y - top) * 1024 // (bottom - top)
    stripe = (v // 256) % 2 == 0
    target = [
        200 + _wave(u, 512) // 12,
        np.where(stripe, 40, 190) + _wave(v, 256) // 12,
        np.where(stripe, 40, 30) + _wave(u + v, 512) // 16,
    ]
    layers = [np.where(inside, one, other) for one, other in zip(target, ground)]
    return np.stack(layers, axis=-1).astype(np.uint8)


def _wave(position: np.ndarray, half: int) -> np.ndarray:
    """Triangles from 0 to ``half``, in whole numbers."""
    return np.abs(position % (2 * half) - half)
