"""A tracker follows annotated sequences, and what it said is kept beside what is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..datasets import read_frame
from ..evaluation import Sequence, SequenceTable
from ..evaluation.pairs import check_pairs, paired_iou
from ..tracking import SequenceTracker, TargetState, TemplateMemory
from ..tracking.confidence import features


class SequenceRun(NamedTuple):
    """One sequence of ``N`` frames, the first one, whose box was given, included.

    Attributes:
        name: Of the sequence.
        iou: Overlap of the box with the annotated one in [0, 1], ``(N,)``; 0 where there is none.
        visible: Whether the target is seen and has an annotated box, bool ``(N,)``.
        scores: In [0, 1], ``(N,)``; NaN in the first frame and from a model without a score head.
        features: What a confidence is computed from, ``(N, 2)``; NaN in the first frame.
        confidences: In [0, 1], ``(N,)``; NaN in the first frame and where there is none.
        states: A :class:`TargetState` for each frame, or None without a policy.
        updates: Of every update of the templates, the frame and the one that the new template was
            cut from, int ``(K, 2)``.
    """

    name: str
    iou: np.ndarray
    visible: np.ndarray
    scores: np.ndarray
    features: np.ndarray
    confidences: np.ndarray
    states: list[TargetState | None]
    updates: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether the box is on the target, bool ``(N,)``: seen, and an overlap of at least 0.5."""
        return self.visible & (self.iou >= 0.5)

    @property
    def lost(self) -> np.ndarray:
        """Whether the tracker said that the target is lost, bool ``(N,)``."""
        return np.array([state is TargetState.LOST for state in self.states])


def observe(
    tracker: SequenceTracker, sequence: Sequence, done: Callable[[], object] = lambda: None
) -> SequenceRun:
    """Follow one sequence.

    Args:
        tracker: Of RGB frames; its settings say whether there is a policy.
        sequence: Annotated in every frame.
        done: Called after each frame.

    Raises:
        FileNotFoundError: If a frame is missing.
        ValueError: If a frame cannot be read, or the sequence is not annotated.
    """
    boxes, rows, states, updates = [sequence.boxes_xywh[0]], [(np.nan,) * 4], [None], []
    state = tracker.init(read_frame(sequence.frames[0])[..., ::-1], boxes[0])
    origin = _TemplateOrigin(state.memory)
    done()
    for index, path in enumerate(sequence.frames[1:], 1):
        result = tracker.track(read_frame(path)[..., ::-1], state)
        source = origin.follow(state.memory, index)
        if result.template_updated:
            updates.append((index, source))
        edges = None if result.edges is None else result.edges.probabilities
        score = np.nan if result.score is None else result.score
        confidence = np.nan if result.confidence is None else result.confidence
        boxes.append(result.box_xywh)
        rows.append((score, confidence, *features(result.score, edges)))
        states.append(result.state)
        done()
    table = np.array(rows, float)
    return SequenceRun(
        sequence.name,
        paired_iou(sequence.boxes_xywh, check_pairs(sequence, np.array(boxes))),
        sequence.visible & sequence.has_box,
        table[:, 0],
        table[:, 2:],
        table[:, 1],
        states,
        np.array(updates, int).reshape(-1, 2),
    )


def observe_all(
    tracker: SequenceTracker, table: SequenceTable, title: str = 'track', progress: bool = True
) -> list[SequenceRun]:
    """Follow all sequences of a data set, with a progress bar; raises as :func:`observe`."""
    total = sum(map(table.length, range(len(table))))
    with tqdm(total=total, desc=title, unit='frame', disable=not progress) as bar:
        return [observe(tracker, sequence, bar.update) for sequence in table]


class _TemplateOrigin:
    """Remembers which frame the template was cut from that is about to be used, or was just."""

    def __init__(self, memory: TemplateMemory) -> None:
        self.frames = {id(memory.static): 0}
        self.online = list(memory.online)
        self.candidate = memory.candidate  # kept, so that no other object gets its id

    def follow(self, memory: TemplateMemory, index: int) -> int:
        """The frame of what is new among the online templates; ``index`` if it was cut there."""
        new = [one for one in memory.online if all(one is not old for old in self.online)]
        if memory.candidate is not self.candidate:
            self.frames.setdefault(id(memory.candidate), index)
        source = self.frames.get(id(new[0]), index) if new else 0
        kept = [memory.static, memory.candidate, *memory.online]
        self.frames = {id(one): self.frames.get(id(one), index) for one in kept}
        self.online, self.candidate = list(memory.online), memory.candidate
        return source
