"""Sequences without frames, and results for them, for what only needs annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from random_tracks import make_sequence

from mmtrack_mixformerv2.evaluation import Sequence
from mmtrack_mixformerv2.evaluation.result_files import Result, write_result


class SequenceList(list):
    """Sequences, with what else a SequenceTable has."""

    def name(self, index: int) -> str:
        return self[index].name

    def length(self, index: int) -> int:
        return len(self[index])


def still_boxes(frames: int, x: float = 10) -> np.ndarray:
    """Boxes ``(frames, 4)`` of a target that does not move."""
    return np.tile([x, 20.0, 30.0, 40.0], (frames, 1))


def make_table(*names: str, frames: int = 4, first_only: bool = False) -> SequenceList:
    """Sequences of targets that do not move, each at another place."""
    table = SequenceList()
    for index, name in enumerate(names):
        sequence = make_sequence(still_boxes(frames, 10.0 + index), name)
        if first_only:
            boxes, visible = sequence.boxes_xywh[:1], sequence.visible
            sequence = Sequence(name, sequence.frames, boxes, visible)
        table.append(sequence)
    return table


def write_results(folder: Path, table: SequenceList, result_format: str = 'plain') -> Path:
    """Result files of a tracker that never moves its box and takes 0.125 s for a frame."""
    for sequence in table:
        boxes = np.repeat(sequence.boxes_xywh[:1], len(sequence), axis=0)
        result = Result(boxes, np.full(len(sequence), 0.125))
        write_result(folder, sequence.name, result, result_format)
    return folder
