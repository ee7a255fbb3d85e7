"""Any sequences that lie in folders: frames and a ``groundtruth.txt``, and nothing else."""

from __future__ import annotations

from pathlib import Path

from mmtrack.registry import DATASETS

from .benchmark_dataset import ListedFramesDataset
from .frame_files import find_sequences


@DATASETS.register_module()
class FolderDataset(ListedFramesDataset):
    """The sequences of a folder, see :func:`.find_sequences`; there is no info file.

    ``groundtruth.txt`` has x, y, width, height for each frame, or for the first one only. NaN, or
    a size of 0, stands for a frame without the target.

    Args:
        data_root: The folder, together with ``data_prefix['img_path']``.
        data_prefix: Optional ``attributes`` names a table, see
            :func:`~mmtrack_mixformerv2.datasets.label_files.read_attributes`.
    """

    first_box_suffices = True

    def load_data_list(self) -> list[dict]:
        """Looks for the sequences, and reads their attributes."""
        root = Path(self.data_prefix['img_path'])
        return self._with_attributes(
            [
                {
                    'name': sequence.name,
                    'video_path': str(sequence.frames.relative_to(root)),
                    'ann_path': str(sequence.annotation.relative_to(root)),
                    'start_frame_id': 1,
                    'end_frame_id': sequence.length,
                }
                for sequence in find_sequences(root)
            ]
        )
