"""When an online template is replaced (MixFormerV2, score prediction and online update).

Between two updates the best-scored crop is kept as a candidate; every ``interval`` frames the
candidate becomes an online template and the search for the next one starts over from the static
template. An interval in which no frame reaches the threshold therefore puts the first frame's
template back. One online template is the published MixFormerV2; several follow the published
MixFormer (CvT): the list starts with the static template, grows to its capacity, and then the
oldest entry is overwritten in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

import numpy as np

_NO_SCORE = -1.0


@dataclass
class TemplateMemory:
    """The templates of one sequence; crops are uint8 ``(size, size, 3)`` and never written to.

    Attributes:
        static: Crop of the first frame.
        online: Online templates, in the order of their slots.
        candidate: Best crop since the last update, the static one if there is none yet.
        best_score: Score of the candidate; -1 (and its decayed values) if there is none yet.
        oldest: Slot of ``online`` that the next update overwrites once all slots are taken.
        overdue: Whether an update waits for a frame that is trusted.
    """

    static: np.ndarray
    online: list[np.ndarray] = field(default_factory=list)
    candidate: np.ndarray | None = None
    best_score: float = _NO_SCORE
    oldest: int = 0
    overdue: bool = False

    def __post_init__(self) -> None:
        if self.candidate is None:
            self.candidate = self.static

    @property
    def templates(self) -> list[np.ndarray]:
        """All templates, the static one first."""
        return [self.static, *self.online]


@dataclass(frozen=True)
class TemplateRefresh:
    """The policy of refreshing the online templates.

    Attributes:
        capacity: Number of online templates; 0 keeps the static template only.
        interval: Frames from one update to the next.
        threshold: A frame becomes a candidate only if its score is above this.
        decay: Factor on the best score at every frame; below 1 it prefers newer candidates.
    """

    capacity: int
    interval: int
    threshold: float
    decay: float

    def start(self, static: np.ndarray) -> TemplateMemory:
        """Begin a sequence: the static template also fills the first online slot."""
        return TemplateMemory(static, online=[static] if self.capacity else [])

    def step(
        self,
        memory: TemplateMemory,
        frame_index: int,
        score: float,
        cut: Callable[[], np.ndarray],
        trusted: bool = True,
    ) -> bool:
        """Take one tracked frame into account.

        Args:
            memory: Changed in place.
            frame_index: 1 for the first tracked frame.
            score: Confidence of this frame in [0, 1].
            cut: Gives the template crop of this frame; called only if it becomes the candidate.
            trusted: Whether the target is seen. If not, the frame is no candidate, and an update
                that is due waits for the next frame that is trusted.

        Returns:
            Whether the list of templates changed.
        """
        memory.best_score *= self.decay
        due = memory.overdue or frame_index % self.interval == 0
        memory.overdue = due and not trusted
        if not trusted:
            return False
        if score > self.threshold and score > memory.best_score:
            memory.candidate, memory.best_score = cut(), score
        if not due:
            return False
        changed = self._store(memory)
        memory.candidate, memory.best_score = memory.static, _NO_SCORE
        return changed

    def _store(self, memory: TemplateMemory) -> bool:
        if len(memory.online) < self.capacity:
            memory.online.append(memory.candidate)
            return True
        if not self.capacity:
            return False
        slot, memory.oldest = memory.oldest, (memory.oldest + 1) % self.capacity
        changed = memory.online[slot] is not memory.candidate
        memory.online[slot] = memory.candidate
        return changed
