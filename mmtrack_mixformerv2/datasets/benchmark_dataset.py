"""What the data sets of all benchmarks share in test mode, on top of mmtrack's base class."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmtrack.datasets import BaseSOTDataset

from ..evaluation import SequenceTable, read_boxes
from .frame_files import list_frames
from .info_lines import InfoLine, read_info_file
from .label_files import read_attributes, read_flags

_VIDEOS_KEPT = 64  # their annotations, per process: as many as are tracked side by side


class BenchmarkDataset(BaseSOTDataset):
    """Sequences of a benchmark, from an info file as mmtrack has it.

    Other than mmtrack's classes for the same benchmarks it

    - knows the name that the benchmark gives a sequence, and its attributes
    - reads annotations whatever stands between the numbers, and names files and lines with errors
    - takes a target as visible, with a warning, where a file that says so is missing
    - keeps the annotations of many videos at hand, so the order of frames does not matter
    - puts a :class:`SequenceTable` into its ``metainfo`` in test mode, as ``sequences``
    - prints nothing

    Args:
        data_prefix: ``img_path`` is the folder that the paths of the info file are in. Optional
            ``attributes``: see :func:`read_attributes`. Both are below ``data_root``.
    """

    frame_name = '%08d.jpg'
    attribute_names: tuple[str, ...] = ()
    first_box_suffices = False  # an annotation may be the box of the first frame only

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._videos: OrderedDict[int, dict] = OrderedDict()
        self._warned: set[str] = set()
        super().__init__(*args, **kwargs)

    @property
    def metainfo(self) -> dict:
        """Meta information; in test mode with the ``sequences``."""
        sequences = {'sequences': SequenceTable(self)} if self.test_mode else {}
        return {**super().metainfo, **sequences}

    def load_data_list(self) -> list[dict]:
        """Reads the info file and the attributes.

        Raises:
            FileNotFoundError: If there is no info file.
            ValueError: If a line of it cannot be read, two sequences have one name, or a file of
                attributes cannot be read.
        """
        lines = read_info_file(self.ann_file)
        return self._with_attributes([self._describe(line) for line in lines])

    def get_video_name(self, video_idx: int) -> str:
        """Name of a sequence, which no other has."""
        return self.get_data_info(video_idx)['name']

    def get_attributes_from_video(self, video_idx: int) -> tuple[str, ...]:
        """What the benchmark says about a sequence, such as ``'Fast Motion'``."""
        return self.get_data_info(video_idx)['attributes']

    def get_bboxes_from_video(self, video_idx: int) -> np.ndarray:
        """Boxes x, y, width, height, float64 of shape ``(N, 4)``, or ``(1, 4)`` of a server's set.

        A box of negative size is NaN where the target is not visible: it was never meant.

        Raises:
            FileNotFoundError: If the annotation is missing.
            ValueError: If it cannot be read, or has too few or too many lines.
        """
        path, count = self._annotation(video_idx), self.get_len_per_video(video_idx)
        boxes = self._read_boxes(video_idx)
        if len(boxes) != count and not (self.first_box_suffices and len(boxes) == 1):
            info = self.get_data_info(video_idx)
            raise ValueError(
                f'{path} has {len(boxes)} lines, expected {count}: {info["name"]} has frames '
                f'{info["start_frame_id"]} to {info["end_frame_id"]}, and each must have one'
            )
        inverted = (boxes[:, 2:] < 0).any(axis=1)
        if inverted.any():
            visible = self.get_visibility_from_video(video_idx)['visible']
            boxes[inverted & ~visible[: len(boxes)]] = np.nan
        return boxes

    def prepare_test_data(self, video_idx: int, frame_idx: int) -> dict:
        """One frame, as the pipeline packs it; without a box where only the first has one."""
        video = self._video(video_idx)
        instance = {
            'visible': video['visible'][frame_idx],
            'bbox_label': np.array([0], dtype=np.int32),
        }
        if frame_idx < len(video['bboxes']):
            instance['bbox'] = video['bboxes'][frame_idx]
        return self.pipeline(
            {
                'img_path': video['img_paths'][frame_idx],
                'frame_id': frame_idx,
                'video_id': video_idx,
                'video_length': video['video_length'],
                'instances': [instance],
            }
        )

    def _name(self, line: InfoLine) -> str:
        """Name of the sequence in a line of the info file: the folder of its annotation."""
        return Path(line.ann_path).parent.name

    def _frame_name(self, line: InfoLine) -> str:
        """Pattern of the names of the frames, for ``pattern % number``."""
        return self.frame_name

    def _read_boxes(self, video_idx: int) -> np.ndarray:
        return read_boxes(self._annotation(video_idx))

    def _annotation(self, video_idx: int) -> Path:
        return Path(self.data_prefix['img_path']) / self.get_data_info(video_idx)['ann_path']

    def _describe(self, line: InfoLine) -> dict:
        return {
            'name': self._name(line),
            'video_path': line.video_path,
            'ann_path': line.ann_path,
            'start_frame_id': line.start,
            'end_frame_id': line.end,
            'framename_template': self._frame_name(line),
        }

    def _with_attributes(self, videos: list[dict]) -> list[dict]:
        """Adds the attributes to the descriptions of videos, and checks their names."""
        by_name: dict[str, dict] = {}
        for video in videos:
            other = by_name.setdefault(video['name'], video)
            if other is not video:
                raise ValueError(
                    f'{self.ann_file}: {other["ann_path"]} and {video["ann_path"]} would both be '
                    f'called {video["name"]}, and share a result file; take one out of the list'
                )
        attributes = {}
        if self.data_prefix.get('attributes'):
            source = Path(self.data_prefix['attributes'])
            if source.exists():
                attributes = read_attributes(source, list(by_name), self.attribute_names)
            else:
                print_log(f'No attributes of sequences: there is no {source}.', 'current')
        return [{**video, 'attributes': attributes.get(video['name'], ())} for video in videos]

    def _video(self, video_idx: int) -> dict:
        """Frames and annotation of a video; those of the last few are kept."""
        if video_idx not in self._videos:
            self._videos[video_idx] = {
                **self.get_img_infos_from_video(video_idx),
                **self.get_ann_infos_from_video(video_idx),
            }
            if len(self._videos) > _VIDEOS_KEPT:
                self._videos.popitem(last=False)
        self._videos.move_to_end(video_idx)
        return self._videos[video_idx]

    def _read_labels(self, video_idx: int, highest: dict[Path, int]) -> list[np.ndarray | None]:
        """Flags of all frames of a video from some files, or None from a file that is missing.

        Args:
            video_idx: Index of the video.
            highest: The files, and the highest flag in each.
        """
        missing = [path for path in highest if not path.is_file()]
        if missing:
            self._warn_once(
                f'{self.get_video_name(video_idx)}: there is no '
                f'{" and no ".join(map(str, missing))}; as far as that file goes, the target '
                'counts as visible.'
            )
        count = self.get_len_per_video(video_idx)
        return [
            None if path in missing else read_flags(path, count=count, highest=limit)
            for path, limit in highest.items()
        ]

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            print_log(message, 'current', logging.WARNING)


class ListedFramesDataset(BenchmarkDataset):
    """Sequences whose frames have names of any kind.

    The first and last frame of the info file are places in the sorted list of frames, from 1.
    """

    def get_img_infos_from_video(self, video_idx: int) -> dict:
        """``video_id``, ``frame_ids``, ``img_paths`` and ``video_length`` of a video.

        Raises:
            FileNotFoundError: If the folder of frames is missing.
            ValueError: If there are not as many frames in it as the info file says.
        """
        info = self.get_data_info(video_idx)
        folder = Path(self.data_prefix['img_path']) / info['video_path']
        names = list_frames(folder)
        if len(names) != info['end_frame_id']:  # a frame too many may move all after it
            raise ValueError(
                f'{folder} has {len(names)} frames, but {info["name"]} should have '
                f'{info["end_frame_id"]} according to {self.ann_file or "what was there before"}'
            )
        names = names[info['start_frame_id'] - 1 : info['end_frame_id']]
        return {
            'video_id': video_idx,
            'frame_ids': np.arange(len(names)),
            'img_paths': [str(folder / name) for name in names],
            'video_length': len(names),
        }
