"""The training pipeline of mmtrack's STARK, to compare with.

Transforms, their order and their numbers are those of mmtrack's config ``stark-st1`` (branch 1.x).
Only the number of templates, the sizes of the crops and their jitter are taken from the config that
is measured, so that both pipelines have the same pixels to make.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from mmcv.transforms import LoadImageFromFile, TransformBroadcaster
from mmdet.datasets.transforms import RandomFlip
from mmengine.config import ConfigDict
from mmtrack.datasets import RandomSampleConcatDataset
from mmtrack.datasets.transforms import (
    BrightnessAug,
    CheckPadMaskValidity,
    GrayAug,
    LoadTrackAnnotations,
    PackTrackInputs,
    SeqBboxJitter,
    SeqCropLikeStark,
    TridentSampling,
)

from ..datasets import CropTemplatesAndSearch
from ..datasets.inspection import crop_step


class _OneNumber(np.ndarray):
    """An array of one element that turns into a Python number, which NumPy 2.4 refuses to do."""

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())


class _CropLikeStark(SeqCropLikeStark):
    """mmtrack's own, which needs such arrays."""

    def crop_like_stark(self, img: np.ndarray, bbox: np.ndarray, *settings) -> tuple:
        return super().crop_like_stark(img, bbox.view(_OneNumber), *settings)


class _Sampling(TridentSampling):
    """mmtrack's own; for a single template, which it refuses, the second one is dropped."""

    def __init__(self, num_templates: int) -> None:
        drawn = max(2, num_templates)
        super().__init__(1, drawn, max_frame_range=[200] * (drawn - 1))
        self.num_unused = drawn - num_templates

    def transform(self, pair_video_infos: list[dict]) -> dict | None:
        results = super().transform(pair_video_infos)
        for values in (results or {}).values():
            del values[1 : 1 + self.num_unused]
        return results


def crop_settings(dataset: Mapping) -> dict:
    """Arguments of the ``CropTemplatesAndSearch`` in the pipeline of a dataset config.

    Raises:
        ValueError: If there is not exactly one.
    """
    try:
        step = crop_step(dataset)
    except ValueError as error:
        raise ValueError(f'{error}; measure without the baseline') from error
    given = {name: value for name, value in step.items() if name != 'type'}
    arguments = inspect.signature(CropTemplatesAndSearch).bind(**given)
    arguments.apply_defaults()
    return dict(arguments.arguments)


def stark_transforms(crop: Mapping, num_templates: int) -> list[Callable]:
    """From paths and boxes to a packed sample.

    Args:
        crop: See :func:`crop_settings`.
        num_templates: Templates per sample.
    """

    def each(template: float, search: float) -> list:
        return [template] * num_templates + [search]

    factors = each(crop['template_factor'], crop['search_factor'])
    center = each(crop['template_center_jitter'], crop['center_jitter'])
    scale = each(crop['template_scale_jitter'], crop['scale_jitter'])
    load = [
        LoadImageFromFile(),
        LoadTrackAnnotations(with_instance_id=False),
        GrayAug(prob=0.05),
        RandomFlip(prob=0.5, direction='horizontal'),
    ]
    return [
        TransformBroadcaster(load, share_random_params=True),
        SeqBboxJitter(scale, center, factors),
        _CropLikeStark(factors, each(crop['template_size'], crop['search_size'])),
        TransformBroadcaster([BrightnessAug(jitter_range=0.2)], share_random_params=True),
        CheckPadMaskValidity(stride=crop['patch_size']),
        PackTrackInputs(ref_prefix='search', num_template_frames=num_templates),
    ]


def stark_sampling(num_templates: int) -> TridentSampling:
    """From the annotations of a video to the frames of a sample."""
    return _Sampling(num_templates)


def stark_dataset(dataset: ConfigDict, pipeline: list[Callable]) -> RandomSampleConcatDataset:
    """mmtrack's dataset over the same sequences as those of a dataset config of ours."""
    sources = [{**source, 'pipeline': pipeline} for source in dataset.datasets]
    return RandomSampleConcatDataset(sources, dataset.get('weights'))


def as_stark(drawn: Mapping) -> dict:
    """Frames that our dataset drew, as ``TridentSampling`` would hand them on."""
    results = defaultdict(list)
    for i, boxes in enumerate(drawn['gt_bboxes']):
        for name in ('img_path', 'frame_id', 'video_id', 'video_length'):
            results[name].append(drawn[name][i])
        results['instances'].append([dict(bbox=boxes[0].copy(), bbox_label=np.array(1, np.int32))])
    return results
