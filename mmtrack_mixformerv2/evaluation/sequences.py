"""What an evaluation needs of a sequence, from any of mmtrack's single object data sets."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmtrack.datasets import BaseSOTDataset

from .box_files import inverted_lines, name_lines

# Folders that only hold the frames: the sequence is named by the folder above.
FRAME_FOLDERS = ('img', 'imgs', 'color', 'frames', 'images')


@dataclass(frozen=True)
class Sequence:
    """A video with its annotation.

    Attributes:
        name: As the benchmark calls it; result files are named so.
        frames: Paths of the N images, in order.
        boxes_xywh: Annotated x, y, width, height in pixels, float64 of shape ``(N, 4)``, or
            ``(1, 4)`` where the benchmark's server keeps all but the first. NaN, or a size of 0,
            stands for no box.
        visible: Whether the benchmark says that the target is seen, bool of shape ``(N,)``; True
            where it says nothing.
        cover: Part of the target that is not hidden, in [0, 1], of shape ``(N,)``, or None.
        attributes: What the benchmark says about the sequence, e.g. ``('Fast Motion',)``.
    """

    name: str
    frames: list[str]
    boxes_xywh: np.ndarray
    visible: np.ndarray
    cover: np.ndarray | None = None
    attributes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def annotated(self) -> bool:
        """Whether there is an annotation for every frame."""
        return len(self.boxes_xywh) == len(self.frames)

    @property
    def has_box(self) -> np.ndarray:
        """Which annotations are boxes, bool: finite, of positive width and height."""
        return np.isfinite(self.boxes_xywh).all(1) & (self.boxes_xywh[:, 2:] > 0).all(1)


class SequenceTable(SequenceOf):
    """The sequences of a data set in test mode; each is read when it is asked for.

    Args:
        dataset: One of mmtrack's, or of :mod:`mmtrack_mixformerv2.datasets`. It may have the
            methods ``get_video_name(video_idx)`` and ``get_attributes_from_video(video_idx)``.
    """

    def __init__(self, dataset: BaseSOTDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return self.dataset.num_videos

    def length(self, index: int) -> int:
        """Number of frames of a sequence, without reading its annotation."""
        return self.dataset.get_len_per_video(index)

    def name(self, index: int) -> str:
        """Name of a sequence, without reading its annotation."""
        if hasattr(self.dataset, 'get_video_name'):
            return self.dataset.get_video_name(index)
        path = Path(self.dataset.get_data_info(index)['video_path'])
        return path.parent.name if path.name in FRAME_FOLDERS else path.name

    def __getitem__(self, index: int) -> Sequence:
        """Reads a sequence.

        Raises:
            FileNotFoundError: If its annotation is missing.
            ValueError: If the annotation cannot be read, its length is not that of the video, a box
                has a negative size, or the first one is none.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        dataset, name = self.dataset, self.name(index)
        frames = dataset.get_img_infos_from_video(index)['img_paths']
        path = Path(
            dataset.data_prefix.get('img_path') or '',
            dataset.get_data_info(index).get('ann_path') or '',
        )
        boxes = np.asarray(dataset.get_bboxes_from_video(index), np.float64)
        if len(boxes) not in (1, len(frames)):
            raise ValueError(
                f'{name} has {len(frames)} frames but {len(boxes)} annotated boxes in {path}'
            )
        if bad := inverted_lines(boxes):
            raise ValueError(f'{name}: {name_lines(bad)} in {path}')
        if not (boxes[0, 2:] > 0).all():  # nor is NaN
            raise ValueError(
                f'{name}: {boxes[0].tolist()} is no box, but tracking starts with it, the first '
                f'one in {path}'
            )
        visibility = dataset.get_visibility_from_video(index)
        visible = np.asarray(visibility['visible'], bool)
        if len(visible) != len(frames):
            raise ValueError(f'{name} has {len(frames)} frames but {len(visible)} visibilities')
        attributes = getattr(dataset, 'get_attributes_from_video', lambda index: ())(index)
        return Sequence(
            name, frames, boxes, visible, visibility.get('visible_ratio'), tuple(attributes)
        )
