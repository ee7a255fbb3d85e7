"""The test sets of the benchmarks, each in the layout in which it is published.

Info files are mmtrack's; ``tools/dataset_converters/write_infos.py`` writes them. GOT-10k's
validation set has its own class, ``AnnotatedGOT10kDataset``.
"""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np
from mmtrack.registry import DATASETS

from .benchmark_dataset import BenchmarkDataset, ListedFramesDataset
from .info_lines import InfoLine
from .nfs_boxes import read_nfs_boxes


@DATASETS.register_module()
class LaSOTTestDataset(BenchmarkDataset):
    """LaSOT and its extension.

    A target is visible where neither ``full_occlusion.txt`` nor ``out_of_view.txt`` says otherwise;
    where one of them is missing, it is not visible in frames without a box either.
    The published annotation has boxes of negative size where the target is hidden, which are no
    boxes, and one where it is not: that is no box either, and named in ``no_box``.
    """

    # Order of the flags: https://github.com/HengLan/LaSOT_Evaluation_Toolkit/issues/11
    attribute_names = (
        'Illumination Variation',
        'Partial Occlusion',
        'Deformation',
        'Motion Blur',
        'Camera Motion',
        'Rotation',
        'Background Clutter',
        'Viewpoint Change',
        'Scale Variation',
        'Full Occlusion',
        'Fast Motion',
        'Out-of-View',
        'Low Resolution',
        'Aspect Ratio Change',
    )
    # Lines, from 1, of sequences: https://github.com/HengLan/LaSOT_Evaluation_Toolkit/issues/10
    no_box = {'tiger-6': (118,)}

    def get_visibility_from_video(self, video_idx: int) -> dict[str, np.ndarray]:
        """``visible`` of every frame of a video, bool."""
        folder = self._annotation(video_idx).parent
        labels = {folder / f'{label}.txt': 1 for label in ('full_occlusion', 'out_of_view')}
        visible = np.ones(self.get_len_per_video(video_idx), bool)
        for flags in self._read_labels(video_idx, labels):
            if flags is not None:
                visible &= flags == 0
            else:
                boxes = self._read_boxes(video_idx)[: len(visible)]
                visible[: len(boxes)] &= (boxes[:, 2:] > 0).all(axis=1)
        return {'visible': visible}

    def _read_boxes(self, video_idx: int) -> np.ndarray:
        boxes = super()._read_boxes(video_idx)
        for line in self.no_box.get(self.get_video_name(video_idx), ()):
            if line <= len(boxes) and (boxes[line - 1, 2:] < 0).any():
                boxes[line - 1] = np.nan
        return boxes


@DATASETS.register_module()
class GOT10kTestDataset(BenchmarkDataset):
    """GOT-10k's test set, of which only the server knows more than the first box."""

    first_box_suffices = True


@DATASETS.register_module()
class TrackingNetTestDataset(BenchmarkDataset):
    """TrackingNet's test set, of which only the server knows more than the first box."""

    frame_name = '%d.jpg'  # from 0
    first_box_suffices = True

    def _name(self, line: InfoLine) -> str:
        return PurePath(line.ann_path).stem


@DATASETS.register_module()
class UAV123TestDataset(BenchmarkDataset):
    """UAV123: several sequences may be cut from the frames of one folder."""

    frame_name = '%06d.jpg'
    # Order of the flags: perfPlot.m of the benchmark's evaluation.
    attribute_names = (
        'Scale Variation',
        'Aspect Ratio Change',
        'Low Resolution',
        'Fast Motion',
        'Full Occlusion',
        'Partial Occlusion',
        'Out-of-View',
        'Background Clutter',
        'Illumination Variation',
        'Viewpoint Change',
        'Camera Motion',
        'Similar Object',
    )

    def _name(self, line: InfoLine) -> str:
        return PurePath(line.ann_path).stem


@DATASETS.register_module()
class OTB100TestDataset(BenchmarkDataset):
    """OTB100.

    Several sequences of one folder are called as in the benchmark's own evaluation, e.g.
    ``Jogging-2`` of ``groundtruth_rect.2.txt``. An annotation begins with the first frame of the
    sequence, or with frame 1: ``Tiger1`` starts at frame 6 and has lines for the five before.
    """

    # Order of the flags: perfPlot.m of the benchmark's evaluation.
    attribute_names = (
        'Illumination Variation',
        'Out-of-Plane Rotation',
        'Scale Variation',
        'Occlusion',
        'Deformation',
        'Motion Blur',
        'Fast Motion',
        'In-Plane Rotation',
        'Out-of-View',
        'Background Clutter',
        'Low Resolution',
    )

    def _name(self, line: InfoLine) -> str:
        target = PurePath(PurePath(line.ann_path).stem).suffix  # .2 of groundtruth_rect.2.txt
        return super()._name(line) + target.replace('.', '-')

    def _frame_name(self, line: InfoLine) -> str:
        return '%05d.jpg' if 'Board' in PurePath(line.video_path).parts else '%04d.jpg'

    def _read_boxes(self, video_idx: int) -> np.ndarray:
        boxes, info = super()._read_boxes(video_idx), self.get_data_info(video_idx)
        if len(boxes) == info['end_frame_id']:
            boxes = boxes[info['start_frame_id'] - 1 :]
        return boxes


@DATASETS.register_module()
class TNL2KTestDataset(ListedFramesDataset):
    """TNL2K's test set, without its sentences.

    Args:
        data_prefix: As for :class:`BenchmarkDataset`. Optional ``absent``: folder with the files
            ``NAME.txt`` of the benchmark's evaluation, which say in which frames there is no
            target.
    """

    # Order of the flags: Evaluate_TNL2K_dataset.m of the benchmark's evaluation.
    attribute_names = (
        'Camera Motion',
        'Rotation',
        'Deformation',
        'Full Occlusion',
        'Illumination Variation',
        'Out-of-View',
        'Partial Occlusion',
        'Viewpoint Change',
        'Scale Variation',
        'Background Clutter',
        'Motion Blur',
        'Aspect Ratio Change',
        'Low Resolution',
        'Fast Motion',
        'Adversarial Samples',
        'Thermal Crossover',
        'Modality Switch',
    )

    def get_visibility_from_video(self, video_idx: int) -> dict[str, np.ndarray]:
        """``visible`` of every frame of a video, bool."""
        folder = Path(self.data_prefix.get('absent') or '')
        if not self.data_prefix.get('absent') or not folder.is_dir():
            self._warn_once(
                'TNL2K: there is no folder of labels of absence (data_prefix=dict(absent=...)); a '
                'target without such a label counts as visible. The benchmark has them in '
                'annos.tar.gz of its evaluation.'
            )
            return super().get_visibility_from_video(video_idx)
        path = folder / f'{self.get_video_name(video_idx)}.txt'
        (absent,) = self._read_labels(video_idx, {path: 1})
        if absent is None:
            return super().get_visibility_from_video(video_idx)
        return {'visible': absent == 0}


@DATASETS.register_module()
class NfSTestDataset(BenchmarkDataset):
    """Need for Speed, at 240 or 30 frames/s: what the info file lists, see :mod:`.nfs_boxes`."""

    frame_name = '%05d.jpg'

    def get_visibility_from_video(self, video_idx: int) -> dict[str, np.ndarray]:
        """``visible`` of every frame of a video, bool: where the target is not lost."""
        count = self.get_len_per_video(video_idx)
        return {'visible': ~read_nfs_boxes(self._annotation(video_idx), count)[1]}

    def _name(self, line: InfoLine) -> str:
        return PurePath(line.ann_path).stem.removeprefix('nfs_')

    def _read_boxes(self, video_idx: int) -> np.ndarray:
        return read_nfs_boxes(self._annotation(video_idx), self.get_len_per_video(video_idx))[0]
