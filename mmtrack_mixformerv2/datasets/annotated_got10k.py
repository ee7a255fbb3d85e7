"""Sequences in GOT-10k's layout whose boxes are all there: its validation set, rendered ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmtrack.datasets import BaseSOTDataset, GOT10kDataset
from mmtrack.registry import DATASETS


@DATASETS.register_module()
class AnnotatedGOT10kDataset(GOT10kDataset):
    """GOT-10k's layout, tested with every box instead of the first one only.

    mmtrack's own class hands out what the GOT-10k server does, so no metric can be computed with
    it. A target counts as visible where ``absence.label`` is 0 and ``cover.label`` above 0, in
    tests as in training.
    """

    prepare_test_data = BaseSOTDataset.prepare_test_data

    def get_visibility_from_video(self, video_idx: int) -> dict[str, np.ndarray]:
        """``visible`` (bool) and ``visible_ratio`` (0 to 1) of every frame of a video."""
        video_path = self.get_data_info(video_idx)['video_path']
        folder = Path(self.data_prefix['img_path']) / video_path
        absence, cover = (
            np.loadtxt(folder / f'{name}.label', dtype=int, ndmin=1)
            for name in ('absence', 'cover')
        )
        return {'visible': (absence == 0) & (cover > 0), 'visible_ratio': cover / 8.0}
