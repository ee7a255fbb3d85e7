"""Crops to calibrate an int8 model on: what the tracker would see of annotated sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets import FolderDataset, read_frame
from ..datasets.transforms import jitter_box
from ..evaluation import SequenceTable
from ..evaluation.sequences import Sequence as AnnotatedSequence
from ..tracking.region import crop_region
from ..tracking.sequence_tracker import TrackingSettings

DEFAULT_COUNT = 300
# How far a tracker's box of the frame before is off: in sides of the target, and in log(size).
_CENTER_JITTER = 0.4
_SCALE_JITTER = 0.1


@dataclass(frozen=True)
class CalibrationCrops:
    """What a network is given for one frame.

    Attributes:
        templates: RGB uint8 ``(T, h, w, 3)``, the static template first.
        search: RGB uint8 ``(S, S, 3)``.
    """

    templates: np.ndarray
    search: np.ndarray


def draw_crops(
    folders: Sequence[str | Path],
    *,
    search_size: int,
    template_size: int,
    settings: TrackingSettings,
    count: int = DEFAULT_COUNT,
    seed: int = 0,
) -> list[CalibrationCrops]:
    """Cut crops out of sequences as the tracking loop does, around boxes that are a little off.

    Every sequence is drawn as often as any other. The search region is cut out of a frame around
    the annotated box of the frame before; the static template out of the first frame, online
    templates out of frames between the two.

    Args:
        folders: Each is a sequence or has some in it, with frames and ``groundtruth.txt``, see
            :class:`~mmtrack_mixformerv2.datasets.FolderDataset`.
        search_size: Side of the search crop in pixels.
        template_size: Side of a template crop in pixels.
        settings: Of the tracker: sizes of the crops in the frame, number of online templates.
        count: How many to draw.
        seed: The same one gives the same crops.

    Raises:
        FileNotFoundError: If a folder, the frames or the annotation of a sequence are missing.
        ValueError: If there is no sequence, no frame that follows an annotated one, or ``count``
            is not positive.
    """
    if count < 1:
        raise ValueError(f'count is {count}, expected at least 1 crop to calibrate on')
    places = _find_places(folders)
    rng = np.random.default_rng(seed)
    cutter = _Cutter(search_size, template_size, settings, rng)
    drawn = []
    for index in range(count):
        sequence, frames = places[index % len(places)]
        drawn.append(cutter.cut(sequence, int(rng.choice(frames))))
    return drawn


def _find_places(folders: Sequence[str | Path]) -> list[tuple[AnnotatedSequence, np.ndarray]]:
    """Sequences and the frames of each, from 1, whose frame before has a box."""
    sequences = [sequence for folder in folders for sequence in _read_sequences(folder)]
    places = []
    for sequence in sequences:
        follows = np.flatnonzero(sequence.has_box) + 1
        follows = follows[follows < len(sequence)]
        if len(follows):
            places.append((sequence, follows))
    if not places:
        raise ValueError(
            f'none of the {len(sequences)} sequences in {", ".join(map(str, folders)) or "[]"} has '
            'a frame after an annotated one, which is what a tracker searches; give folders of '
            'sequences of at least 2 frames whose groundtruth.txt has a box of the first one.'
        )
    return places


def _read_sequences(folder: str | Path) -> SequenceTable:
    return SequenceTable(
        FolderDataset(
            data_root=str(folder), data_prefix={'img_path': ''}, pipeline=[], test_mode=True
        )
    )


@dataclass(frozen=True)
class _Cutter:
    search_size: int
    template_size: int
    settings: TrackingSettings
    rng: np.random.Generator

    def cut(self, sequence: AnnotatedSequence, index: int) -> CalibrationCrops:
        """The crops for tracking frame ``index`` of a sequence."""
        settings, boxes = self.settings, sequence.boxes_xywh
        before = np.flatnonzero(sequence.has_box[:index])
        templates = [self._template(sequence, 0, boxes[0])]
        for frame in np.sort(self.rng.choice(before, settings.num_online_templates)):
            templates.append(self._template(sequence, frame, self._move(boxes[frame])))
        around = self._move(boxes[index - 1])
        frame = _read_rgb(sequence, index)
        search, _ = crop_region(frame, around, settings.search_factor, self.search_size)
        return CalibrationCrops(np.stack(templates), search)

    def _template(
        self, sequence: AnnotatedSequence, index: int, box_xywh: Sequence[float]
    ) -> np.ndarray:
        frame = _read_rgb(sequence, index)
        return crop_region(frame, box_xywh, self.settings.template_factor, self.template_size)[0]

    def _move(self, box_xywh: Sequence[float]) -> tuple[float, ...]:
        return jitter_box(self.rng, box_xywh, _CENTER_JITTER, _SCALE_JITTER)


def _read_rgb(sequence: AnnotatedSequence, index: int) -> np.ndarray:
    return read_frame(sequence.frames[index])[..., ::-1]
