"""Training samples of templates and one search frame, drawn from several tracking datasets.

Follows the data of the distillation stages of MCG-NJU/MixFormerV2 ("causal" sampling). Deliberate
differences: a sample is a function of ``(seed, epoch, index)`` and of nothing else; a rejected
sample is redrawn from the dataset that was chosen first, so the weights hold exactly.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.dataset import Compose
from mmtrack.datasets import BaseSOTDataset
from mmtrack.registry import DATASETS, TRANSFORMS
from torch.utils.data import Dataset

from .data_files import check_data_files
from .identity import identify
from .sampler import SampleKey


class VideoAnnotations(NamedTuple):
    """What is kept of one video.

    Attributes:
        boxes: ``(N, 4)`` float32, xyxy in pixels.
        visible_frames: Increasing indices of the frames that show the target, int32.
    """

    boxes: np.ndarray
    visible_frames: np.ndarray


def draw_causal_frames(
    rng: np.random.Generator,
    visible_frames: np.ndarray,
    num_templates: int,
    *,
    max_gap: int = 200,
    gap_growth: int = 5,
    max_tries: int = 100,
) -> list[int] | None:
    """Draws frames in causal order: the search frame comes after all templates.

    A base frame is the static template; frames of at most ``max_gap`` frames before it are the
    other templates, one of at most ``max_gap`` frames after it is the search frame. Every failed
    try widens both windows by ``gap_growth`` frames.

    Args:
        rng: Generator of the sample.
        visible_frames: Increasing indices of the frames to draw from.
        num_templates: At least 1. Templates before the base frame are drawn with replacement.
        max_gap: Width of both windows in frames at the first try.
        gap_growth: Frames by which the windows grow per failed try.
        max_tries: Number of base frames to try.

    Returns:
        Frame indices: base frame, other templates, search frame. ``None`` if no try succeeded.
    """
    earliest = min(num_templates - 1, 1)  # the base frame needs a frame before it, if any
    if len(visible_frames) < earliest + 2:
        return None
    for attempt in range(max_tries):
        gap = max_gap + attempt * gap_growth
        base = int(rng.integers(earliest, len(visible_frames) - 1))
        frame = visible_frames[base]
        low = int(np.searchsorted(visible_frames, frame - gap))
        high = int(np.searchsorted(visible_frames, frame + gap, side='right'))
        if base - low < earliest or high == base + 1:
            continue
        earlier = rng.integers(low, base, size=num_templates - 1) if earliest else []
        drawn = [base, *earlier, rng.integers(base + 1, high)]
        return visible_frames[drawn].tolist()
    return None


@DATASETS.register_module()
class SampledTripletDataset(Dataset):
    """Draws training samples from mmtrack's single object tracking datasets.

    ``dataset[SampleKey(seed, epoch, index)]`` seeds a generator with the key, and that generator
    decides everything: the dataset (by weight), the sequence (uniformly), the frames and, as
    ``results['rng']``, what the pipeline draws. So it does not matter how many workers load the
    data, whether they persist, or whether the run was resumed.

    A video is taken if it is long enough and shows its target often enough. This is looked at when
    the video is drawn, so the start does not read thousands of annotation files. A video of one
    frame is an image: it serves as templates and search.

    The pipeline receives a dict whose lists hold the templates first and the search frame last:

    - ``img_path``: file names
    - ``gt_bboxes``: arrays ``(1, 4)`` float32, xyxy in pixels of the frame
    - ``frame_id``, ``video_id``, ``video_length``, ``dataset_id``: ints
    - ``rng``: generator of the sample

    What the pipeline packs is told who it is, see :func:`identify`.

    Args:
        datasets: Configs of mmtrack datasets in training mode (``GOT10kDataset``, ``LaSOTDataset``,
            ``TrackingNetDataset``, ``SOTCocoDataset``), or the datasets themselves. Their own
            pipelines are not used.
        pipeline: Transforms; one that returns ``None`` rejects the sample, which is then redrawn.
        weights: Relative frequency of each dataset; equal if not given.
        num_templates: Templates per sample.
        max_gap: See :func:`draw_causal_frames`.
        gap_growth: See :func:`draw_causal_frames`.
        min_frames: Shorter videos are not used.
        min_visible: Nor are videos that show the target in fewer frames. Published: more than
            ``2 * (1 + 2)``.
        max_tries: Draws before a dataset is given up.
        cached_videos: Videos whose annotations are kept in memory, per process, least recently
            used first out; about 20 bytes per frame.

    Raises:
        FileNotFoundError: If an annotation file, an image folder or the first image is missing.
        ValueError: If a setting is out of range, or a dataset is empty or in test mode.
    """

    META = {'CLASSES': None}  # mmtrack reads this where mmengine reads ``metainfo``

    def __init__(
        self,
        datasets: Sequence[dict | BaseSOTDataset],
        pipeline: Sequence[dict],
        *,
        weights: Sequence[float] | None = None,
        num_templates: int = 2,
        max_gap: int = 200,
        gap_growth: int = 5,
        min_frames: int = 20,
        min_visible: int = 7,
        max_tries: int = 1000,
        cached_videos: int = 10000,
    ) -> None:
        if min(num_templates, max_gap, max_tries) < 1 or min(gap_growth, cached_videos) < 0:
            raise ValueError(
                'num_templates, max_gap and max_tries must be at least 1, gap_growth and '
                f'cached_videos at least 0; got {num_templates}, {max_gap}, {max_tries}, '
                f'{gap_growth} and {cached_videos}.'
            )
        self._cumulative_weights = _cumulative(weights, len(datasets))
        self.datasets = [_build_dataset(dataset) for dataset in datasets]
        # Built here: Compose would look in mmengine's registry, and needs the default scope for it.
        self.pipeline = Compose(
            [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        )
        self.num_templates = num_templates
        self.max_gap = max_gap
        self.gap_growth = gap_growth
        self.min_frames = min_frames
        self.min_visible = min_visible
        self.max_tries = max_tries
        self.cached_videos = cached_videos
        self._cache: OrderedDict[tuple[int, int], VideoAnnotations] = OrderedDict()

    @property
    def metainfo(self) -> dict:
        """Meta information of the first dataset, where mmengine looks for it."""
        return self.datasets[0].metainfo

    def __len__(self) -> int:
        """Number of sequences and images; how many samples an epoch has is up to the sampler."""
        return sum(len(dataset) for dataset in self.datasets)

    def __getitem__(self, key: SampleKey) -> dict:
        """Returns the sample of a key, as the pipeline packs it.

        Raises:
            TypeError: If the key is not ``(seed, epoch, index)``.
            RuntimeError: If no draw from the chosen dataset was accepted.
        """
        if not isinstance(key, tuple) or len(key) != 3:
            raise TypeError(
                f'expected a key (seed, epoch, index), got {key!r}; set '
                "sampler=dict(type='SampleKeySampler', samples_per_epoch=...) in the dataloader."
            )
        rng = np.random.default_rng(key)
        chosen = self._choose(rng)
        for _ in range(self.max_tries):
            results = self._draw(rng, *chosen)
            if results is None:
                continue
            dataset_ids = results['dataset_id']
            packed = self.pipeline(results)
            if packed is not None:
                if 'data_samples' in packed:
                    identify(packed['data_samples'], key, dataset_ids)
                return packed
        raise RuntimeError(
            f'{_describe(self.datasets[chosen[0]])}: none of {self.max_tries} draws gave a '
            f'sample. A video must have {self.min_frames} frames and show its target in '
            f'{self.min_visible}, boxes must have a positive size; check the annotations or lower '
            'min_frames and min_visible.'
        )

    def annotations(self, dataset_index: int, video: int) -> VideoAnnotations:
        """Annotations of one video as mmtrack's dataset reads them, from the cache if there.

        Raises:
            ValueError: If the annotation files of the video disagree about its length.
        """
        key = (dataset_index, video)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        dataset = self.datasets[dataset_index]
        info = dataset.get_ann_infos_from_video(video)
        boxes, visible = np.asarray(info['bboxes'], np.float32), info['visible']
        length = dataset.get_len_per_video(video)
        if not len(boxes) == len(visible) == length:
            raise ValueError(
                f'{_describe(dataset)}, {dataset.get_data_info(video)}: {length} frames, '
                f'{len(boxes)} boxes and {len(visible)} visibility labels; repair the annotations '
                'or take the video out of the list.'
            )
        annotations = VideoAnnotations(boxes, np.flatnonzero(visible).astype(np.int32))
        if length > 1:  # one box is as quick to read again, and there are 860,000 in COCO
            self._cache[key] = annotations
            if len(self._cache) > self.cached_videos:
                self._cache.popitem(last=False)
        return annotations

    def _choose(self, rng: np.random.Generator) -> tuple:
        """What a redraw keeps: the dataset, drawn by weight, and what subclasses add."""
        return (self._choose_dataset(rng),)

    def _choose_dataset(self, rng: np.random.Generator) -> int:
        return int(np.searchsorted(self._cumulative_weights, rng.random(), side='right'))

    def _draw(self, rng: np.random.Generator, dataset_index: int) -> dict | None:
        """Input of the pipeline for a random sequence, or ``None`` if that does not fit."""
        video = int(rng.integers(len(self.datasets[dataset_index])))
        annotations = self.annotations(dataset_index, video)
        frames = self._draw_frames(rng, annotations)
        if frames is None:
            return None
        return {**self._describe_frames(dataset_index, video, frames), 'rng': rng}

    def _describe_frames(
        self, dataset_index: int, video: int, frames: list[int]
    ) -> dict[str, list]:
        """What the pipeline is told of some frames of a video: lists with an entry per frame."""
        boxes = self.annotations(dataset_index, video).boxes
        return {
            'img_path': _frame_paths(self.datasets[dataset_index], video, frames),
            'gt_bboxes': [boxes[i : i + 1].copy() for i in frames],
            'frame_id': frames,
            'video_id': [video] * len(frames),
            'video_length': [len(boxes)] * len(frames),
            'dataset_id': [dataset_index] * len(frames),
        }

    def _draw_frames(
        self, rng: np.random.Generator, annotations: VideoAnnotations
    ) -> list[int] | None:
        """Frames of the templates and the search, or ``None`` if the video is not used."""
        boxes, visible_frames = annotations
        if len(boxes) == 1:
            return [0] * (self.num_templates + 1) if len(visible_frames) else None
        if len(boxes) < self.min_frames or len(visible_frames) < self.min_visible:
            return None
        return self._draw_video_frames(rng, annotations)

    def _draw_video_frames(
        self, rng: np.random.Generator, annotations: VideoAnnotations
    ) -> list[int] | None:
        return draw_causal_frames(
            rng,
            annotations.visible_frames,
            self.num_templates,
            max_gap=self.max_gap,
            gap_growth=self.gap_growth,
        )


def _cumulative(weights: Sequence[float] | None, num_datasets: int) -> np.ndarray:
    """Upper ends of the datasets' shares of [0, 1]."""
    weights = np.ones(num_datasets) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (num_datasets,) or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            'expected one weight per dataset, none negative and not all zero; got '
            f'{num_datasets} datasets and the weights {weights.tolist()}.'
        )
    ends = np.cumsum(weights)
    return ends / ends[-1]


def _build_dataset(dataset: dict | BaseSOTDataset) -> BaseSOTDataset:
    """Builds a dataset, and fails now where its files would be missed in the middle of an epoch."""
    if isinstance(dataset, dict):
        check_data_files(dataset)
        dataset = DATASETS.build(dataset)
    if dataset.test_mode:
        raise ValueError(f'{_describe(dataset)} is in test mode; set test_mode=False to train.')
    if len(dataset) == 0:
        raise ValueError(f'{_describe(dataset)} lists no sequence.')
    first = _frame_paths(dataset, 0, [0])[0]
    if not Path(first).is_file():
        raise FileNotFoundError(
            f'{_describe(dataset)}: its first frame {first} does not exist; unpack the images '
            'there, or correct data_root and data_prefix in the config.'
        )
    return dataset


def _frame_paths(dataset: BaseSOTDataset, video: int, frames: Sequence[int]) -> list[str]:
    """File names of some frames; mmtrack would format those of the whole video."""
    if type(dataset).get_img_infos_from_video is not BaseSOTDataset.get_img_infos_from_video:
        paths = dataset.get_img_infos_from_video(video)['img_paths']
        return [paths[i] for i in frames]
    info = dataset.get_data_info(video)
    folder = Path(dataset.data_prefix['img_path'], info['video_path'])
    names = [info['framename_template'] % (info['start_frame_id'] + i) for i in frames]
    return [str(folder / name) for name in names]


def _describe(dataset: BaseSOTDataset) -> str:
    return f'{type(dataset).__name__}({dataset.ann_file})'
