"""What is known about one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .confidence import TargetMemory
from .template import TemplateMemory


@dataclass
class SequenceState:
    """Everything that is known about one sequence; tracking a frame changes it.

    Attributes:
        frame_size: Height and width of the frames in pixels.
        box_xywh: The box around which the next search region lies, image pixels: the last one,
            unless a policy says otherwise.
        memory: The templates.
        cache: What the predictor made of the templates.
        frame_index: Number of frames tracked; 0 after the first one.
        search_scale: How many times as wide as ``search_factor`` says the next region is.
        target: What the policy knows of the target; None without one.
    """

    frame_size: tuple[int, int]
    box_xywh: Sequence[float]
    memory: TemplateMemory
    cache: Any
    frame_index: int = 0
    search_scale: float = 1.0
    target: TargetMemory | None = None
