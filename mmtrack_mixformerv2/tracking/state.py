"""What is known about one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .template import TemplateMemory


@dataclass
class SequenceState:
    """Everything that is known about one sequence; tracking a frame changes it.

    Attributes:
        frame_size: Height and width of the frames in pixels.
        box_xywh: Last box, image pixels.
        memory: The templates.
        cache: What the predictor made of the templates.
        frame_index: Number of frames tracked; 0 after the first one.
    """

    frame_size: tuple[int, int]
    box_xywh: Sequence[float]
    memory: TemplateMemory
    cache: Any
    frame_index: int = 0
