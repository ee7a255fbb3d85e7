"""Sequences in GOT-10k's layout whose boxes are all there: its validation set, rendered ones."""

from __future__ import annotations

import numpy as np
from mmtrack.registry import DATASETS

from .benchmark_dataset import BenchmarkDataset


@DATASETS.register_module()
class AnnotatedGOT10kDataset(BenchmarkDataset):
    """GOT-10k's layout, tested with every box instead of the first one only.

    mmtrack's own class hands out what the GOT-10k server does, so no metric can be computed with
    it. A target counts as visible where ``absence.label`` is 0 and ``cover.label`` above 0, in
    tests as in training.
    """

    def get_visibility_from_video(self, video_idx: int) -> dict[str, np.ndarray]:
        """``visible`` (bool) and ``visible_ratio`` (0 to 1) of every frame of a video.

        There is no ``visible_ratio`` without ``cover.label``.
        """
        folder = self._annotation(video_idx).parent
        absence, cover = self._read_labels(
            video_idx, {folder / 'absence.label': 1, folder / 'cover.label': 8}
        )
        labels = {'visible': np.ones(self.get_len_per_video(video_idx), bool)}
        if absence is not None:
            labels['visible'] &= absence == 0
        if cover is not None:
            labels['visible'] &= cover > 0
            labels['visible_ratio'] = cover / 8.0
        return labels
