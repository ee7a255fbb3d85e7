"""What tracking one target through one video gave, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .confidence import TargetState
from .sequence_tracker import EdgeDistributions, TrackResult


@dataclass
class TrackLog:
    """The results of one target, the first frame's included.

    Attributes:
        name: What it is called in files and pictures: of the tracker, or of the target.
        results: One for each frame; of the first one, the given box and no more.
    """

    name: str
    results: list[TrackResult] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.results)

    @property
    def boxes_xywh(self) -> np.ndarray:
        """x, y, width, height in pixels, float64 ``(N, 4)``."""
        return np.array([one.box_xywh for one in self.results], np.float64).reshape(-1, 4)

    @property
    def scores(self) -> np.ndarray:
        """In [0, 1], NaN where there is none, ``(N,)``."""
        return np.array([one.score for one in self.results], np.float64)

    @property
    def confidences(self) -> np.ndarray:
        """In [0, 1], NaN where there is none, ``(N,)``."""
        return np.array([one.confidence for one in self.results], np.float64)

    @property
    def states(self) -> list[str | None]:
        """``'tracked'``, ``'uncertain'`` or ``'lost'``; None where there is no policy."""
        return [one.state and one.state.value for one in self.results]

    @property
    def template_updates(self) -> list[int]:
        """Frames after which the templates changed."""
        return [index for index, one in enumerate(self.results) if one.template_updated]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, as JSON takes them; :meth:`from_dict` reads them."""
        return {'name': self.name, 'frames': [_to_dict(one) for one in self.results]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrackLog:
        """The log that :meth:`to_dict` wrote; edges are there if they were written.

        Raises:
            ValueError: If something is missing or of another kind.
        """
        try:
            return cls(str(values['name']), [_from_dict(one) for one in values['frames']])
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(
                f'this is no track: {type(error).__name__} {error}; expected "name" and "frames", '
                'each of these with "box_xywh".'
            ) from error


def _to_dict(result: TrackResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        'box_xywh': [round(float(value), 4) for value in result.box_xywh],
        'score': _rounded(result.score),
        'confidence': _rounded(result.confidence),
        'state': result.state and result.state.value,
        'template_updated': bool(result.template_updated),
    }
    if result.edges is not None:
        row['edges'] = {
            'probabilities': np.round(np.asarray(result.edges.probabilities, float), 5).tolist(),
            # The places of the bins are evenly spread.
            'first': np.round(result.edges.positions[:, 0], 3).tolist(),
            'last': np.round(result.edges.positions[:, -1], 3).tolist(),
        }
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def _from_dict(row: Mapping[str, Any]) -> TrackResult:
    box = np.array(row['box_xywh'], np.float64)
    if box.shape != (4,):
        raise ValueError(f'box_xywh is {row["box_xywh"]}, expected four numbers')
    state, edges = row.get('state'), row.get('edges')
    return TrackResult(
        box,
        _number(row.get('score')),
        bool(row.get('template_updated', False)),
        None if state is None else TargetState(state),
        _number(row.get('confidence')),
        None if edges is None else _edges_from_dict(edges),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _edges_from_dict(values: Mapping[str, Any]) -> EdgeDistributions:
    probabilities = np.array(values['probabilities'], np.float64)
    ends = np.array(values['first'], np.float64), np.array(values['last'], np.float64)
    if probabilities.ndim != 2 or not len(probabilities) == len(ends[0]) == len(ends[1]) == 4:
        raise ValueError('edges are not those of the four sides, expected four rows of numbers')
    return EdgeDistributions(probabilities, np.linspace(*ends, probabilities.shape[1], axis=1))
