"""Frames of an evaluation as mmtrack's test pipeline hands them to metrics and hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmtrack.structures import TrackDataSample

from ..tracking.lock_step import Tracked
from .sequences import Sequence

_NO_SCORE = -1.0


def frame_record(sequence: Sequence, frame: Tracked) -> dict[str, Any]:
    """A tracked frame of a sequence, as metrics get it.

    Besides the usual entries, ``seconds`` says what the frame took, and ``result`` is the tracker's
    :class:`~mmtrack_mixformerv2.tracking.TrackResult`. Boxes are float64.
    """
    instance: dict[str, Any] = {'visible': bool(sequence.visible[frame.frame_index])}
    if frame.frame_index < len(sequence.boxes_xywh):
        instance['bbox'] = _corners(sequence.boxes_xywh[frame.frame_index])
    score = _NO_SCORE if frame.score is None else frame.score
    return {
        'video_id': frame.sequence,
        'frame_id': frame.frame_index,
        'video_length': len(sequence),
        'img_path': sequence.frames[frame.frame_index],
        'ori_shape': frame.frame_size,
        'img_shape': frame.frame_size,
        'seconds': frame.seconds,
        'result': frame.result,
        'instances': [instance],
        'pred_track_instances': {
            'bboxes': torch.from_numpy(_corners(frame.box_xywh))[None],
            'scores': torch.tensor([score]),
        },
    }


def as_data_sample(record: dict[str, Any]) -> TrackDataSample:
    """The same frame, as hooks get it."""
    meta = {key: value for key, value in record.items() if key != 'pred_track_instances'}
    sample = TrackDataSample(metainfo=meta)
    sample.pred_track_instances = InstanceData(**record['pred_track_instances'])
    if 'bbox' in record['instances'][0]:
        box = torch.from_numpy(record['instances'][0]['bbox'])[None]
        sample.gt_instances = InstanceData(bboxes=box)
    return sample


def _corners(box_xywh: np.ndarray) -> np.ndarray:
    x, y, w, h = box_xywh
    return np.array([x, y, x + w, y + h])
