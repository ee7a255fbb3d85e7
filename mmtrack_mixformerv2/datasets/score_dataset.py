"""Samples for the score head: does the search region show the target of the templates?

Follows the data of the score stage of MCG-NJU/MixFormerV2 ("trident_pro" sampling). Deliberate
differences, besides those of :mod:`.sampled_dataset`:

- The label is drawn before anything that may be rejected, so its probability holds exactly.
- A negative search frame never comes from the sequence of its templates, unless the target is
  invisible there.
- Both ends of the window of the other templates belong to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmtrack.datasets import BaseSOTDataset
from mmtrack.registry import DATASETS

from .sampled_dataset import SampledTripletDataset, VideoAnnotations


def draw_trident_frames(
    rng: np.random.Generator,
    annotations: VideoAnnotations,
    num_templates: int,
    *,
    max_gap: int = 200,
) -> list[int]:
    """Draws frames in no order; only the first template and the search need to show the target.

    These two are drawn independently from the visible frames, so they may be the same. The other
    templates are frames of at most ``max_gap`` frames after the search frame if the first template
    is not earlier than it, else of at most ``max_gap`` frames before it; the search frame itself
    is one of them. They may be invisible, and are then cropped around their annotation, so frames
    whose annotated box has no positive size are not drawn. (Published code draws the whole sample
    again then.)

    Args:
        rng: Generator of the sample.
        annotations: Of the video; shows the target in at least one frame.
        num_templates: At least 1.
        max_gap: Width of the window in frames.

    Returns:
        Frame indices: first template, other templates, search frame.
    """
    boxes, visible_frames = annotations
    first, search = visible_frames[rng.integers(len(visible_frames), size=2)].tolist()
    low, high = (search, search + max_gap) if first >= search else (search - max_gap, search)
    low = max(low, 0)
    usable = low + np.flatnonzero(has_size(boxes[low : high + 1]))
    others = usable[rng.integers(len(usable), size=num_templates - 1)].tolist()
    return [first, *others, search]


@DATASETS.register_module()
class ScoreTripletDataset(SampledTripletDataset):
    """Draws positive and negative samples, told apart by a label.

    A positive sample has the frames of :func:`draw_trident_frames`. In a negative one the search
    frame is replaced: if the video hides its target in some frames, by one of these, with a box
    that is made up in its middle (see :class:`LoadFrames`); otherwise, and for images, by a frame
    of another sequence, around that sequence's own target. That sequence is drawn from all
    datasets as any other (by weight, then uniformly), its frame from those with a box.

    To what :class:`SampledTripletDataset` hands to its pipeline, this adds ``gt_bboxes_labels``,
    int64 arrays ``(1,)``: 1 for templates and positive search frames, 0 for negative ones.
    ``PackTrackInputs`` packs them as ``gt_instances.labels`` and ``search_gt_instances.labels``. A
    box that is to be made up is None.

    Args:
        datasets: See :class:`SampledTripletDataset`.
        pipeline: See :class:`SampledTripletDataset`; reads frames with :class:`LoadFrames`.
        negative_prob: Probability that a sample is negative.
        hidden_box: Around what a frame that hides its target is cropped: ``'middle'`` (published)
            or ``'last_seen'``, the box of the last frame before it that shows the target, which is
            where a tracker looks then (the middle if there is none).
        kwargs: See :class:`SampledTripletDataset`; ``gap_growth`` is not used.

    Raises:
        ValueError: As :class:`SampledTripletDataset`, or if ``negative_prob`` is out of range,
            ``hidden_box`` is unknown, or there is no second sequence for the negative samples.
    """

    HIDDEN_BOXES = ('middle', 'last_seen')

    def __init__(
        self,
        datasets: Sequence[dict | BaseSOTDataset],
        pipeline: Sequence[dict],
        *,
        negative_prob: float = 0.5,
        hidden_box: str = 'middle',
        **kwargs,
    ) -> None:
        if not 0 <= negative_prob <= 1:
            raise ValueError(f'negative_prob must be in [0, 1], got {negative_prob}.')
        if hidden_box not in self.HIDDEN_BOXES:
            raise ValueError(
                f'hidden_box is {hidden_box!r}, expected one of {", ".join(self.HIDDEN_BOXES)}.'
            )
        super().__init__(datasets, pipeline, **kwargs)
        self.negative_prob = negative_prob
        self.hidden_box = hidden_box
        shares = np.diff(self._cumulative_weights, prepend=0)
        if negative_prob > 0 and sum(len(d) for d, s in zip(self.datasets, shares) if s > 0) < 2:
            raise ValueError(
                'negative samples need a second sequence, and the datasets list only one; add '
                'sequences or set negative_prob=0.'
            )

    def _choose(self, rng: np.random.Generator) -> tuple:
        """The dataset, and whether the sample is negative."""
        return *super()._choose(rng), bool(rng.random() < self.negative_prob)

    def _draw(
        self, rng: np.random.Generator, dataset_index: int, negative: bool = False
    ) -> dict | None:
        results = super()._draw(rng, dataset_index)
        if results is None:
            return None
        if negative:
            search = self._draw_negative(rng, dataset_index, results['video_id'][0])
            if search is None:
                return None
            for name, values in search.items():
                results[name] = results[name][:-1] + values
        labels = [1] * self.num_templates + [0 if negative else 1]
        results['gt_bboxes_labels'] = [np.array([label], np.int64) for label in labels]
        return results

    def _draw_video_frames(
        self, rng: np.random.Generator, annotations: VideoAnnotations
    ) -> list[int]:
        return draw_trident_frames(rng, annotations, self.num_templates, max_gap=self.max_gap)

    def _draw_negative(
        self, rng: np.random.Generator, dataset_index: int, video: int
    ) -> dict[str, list] | None:
        """A search frame without the target of a video, or ``None`` where the draw is no good."""
        boxes, visible_frames = self.annotations(dataset_index, video)
        if 1 < len(boxes) > len(visible_frames):
            hidden = np.setdiff1d(np.arange(len(boxes)), visible_frames, assume_unique=True)
            frame = int(hidden[rng.integers(len(hidden))])
            return {
                **self._describe_frames(dataset_index, video, [frame]),
                'gt_bboxes': [self._box_where_hidden(boxes, visible_frames, frame)],
            }
        other_dataset = self._choose_dataset(rng)
        other_video = int(rng.integers(len(self.datasets[other_dataset])))
        usable = np.flatnonzero(has_size(self.annotations(other_dataset, other_video).boxes))
        if (other_dataset, other_video) == (dataset_index, video) or not len(usable):
            return None
        frame = int(usable[rng.integers(len(usable))])
        return self._describe_frames(other_dataset, other_video, [frame])

    def _box_where_hidden(
        self, boxes: np.ndarray, visible_frames: np.ndarray, frame: int
    ) -> np.ndarray | None:
        """``(1, 4)`` xyxy around which the search region is cut, or None for the middle."""
        before = np.searchsorted(visible_frames, frame)
        if self.hidden_box == 'middle' or before == 0:
            return None
        last = visible_frames[before - 1]
        return boxes[last : last + 1].copy()


def has_size(boxes: np.ndarray) -> np.ndarray:
    """Which of ``(N, 4)`` xyxy boxes have a positive width and height."""
    return (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
