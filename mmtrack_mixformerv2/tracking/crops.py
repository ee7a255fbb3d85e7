"""Where crops are cut out of frames: on the host, or wherever the network wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .region import crop_region


class Crops(Protocol):
    """Cuts regions out of frames; a predictor that has its own says so with ``crops``."""

    def load(self, frame: np.ndarray) -> Any:
        """Take over a frame, RGB uint8 ``(height, width, 3)``, any strides; once per frame."""

    def cut(
        self, frame: Any, box_xywh: Sequence[float], factor: float, size: int
    ) -> tuple[Any, float]:
        """As :func:`~.region.crop_region`, of what :meth:`load` gave; raises the same."""

    def cut_all(
        self,
        frame: Any,
        boxes_xywh: Sequence[Sequence[float]],
        factor: float | Sequence[float],
        size: int,
    ) -> list[tuple[Any, float]]:
        """:meth:`cut` for several boxes in one frame, with one factor, or one for each."""


class HostCrops:
    """Crops by OpenCV; the frame is used where it is."""

    def load(self, frame: np.ndarray) -> np.ndarray:
        """The frame itself."""
        return frame

    def cut(
        self, frame: np.ndarray, box_xywh: Sequence[float], factor: float, size: int
    ) -> tuple[np.ndarray, float]:
        """See :func:`~.region.crop_region`."""
        return crop_region(frame, box_xywh, factor, size)

    def cut_all(
        self,
        frame: np.ndarray,
        boxes_xywh: Sequence[Sequence[float]],
        factor: float | Sequence[float],
        size: int,
    ) -> list[tuple[np.ndarray, float]]:
        """See :func:`~.region.crop_region`, for several boxes."""
        return [crop_region(frame, *one, size) for one in zip(boxes_xywh, each(factor, boxes_xywh))]


def each(factor: float | Sequence[float], boxes_xywh: Sequence) -> list[float]:
    """A factor for each box, of which all may have the same."""
    return np.broadcast_to(np.asarray(factor, float), len(boxes_xywh)).tolist()
