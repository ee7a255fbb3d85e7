"""The sequences that trackers are compared on, and what scores them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmtrack.datasets import BaseSOTDataset
from mmtrack.registry import DATASETS, METRICS

from ..datasets import check_data_files
from ..engine import read_config
from ..evaluation import SequenceTable

TestSet = tuple[BaseSOTDataset, Callable[[], Evaluator]]
# The first that is there: what no training has seen comes first.
_INFO_FILES = tuple(f'annotations/got10k_{split}_infos.txt' for split in ('val', 'train'))


def open_test_set(source: str | Path) -> TestSet:
    """What :func:`build_test_set` gives for a test config, or for a folder of sequences.

    A folder in GOT-10k's layout with its info file, as ``tools/render_sequences.py`` makes it, is
    scored with its labels of absence, and only its validation set if there is one. Any other
    folder is scored as it is, see :class:`~..datasets.folder_dataset.FolderDataset`.

    Args:
        source: The config, or the folder.

    Raises:
        FileNotFoundError: If there is no such file, or the data are not where the config says.
        ValueError: If it cannot be read, or there are no boxes to score with.
    """
    path = Path(source)
    if path.suffix == '.py':
        cfg = read_config(str(path))
        if not cfg.get('test_dataloader') or not cfg.get('test_evaluator'):
            raise ValueError(
                f'{path} has no test_dataloader or no test_evaluator; take a test config, for '
                'instance configs/mixformerv2/mixformerv2-b_test-lasot.py, or a folder of sequences'
            )
        test_set = build_test_set(cfg)
    elif path.is_dir():
        test_set = build_test_set(_config_of(path))
    else:
        raise FileNotFoundError(
            f'there is no {path}, expected a test config or a folder of sequences'
        )
    table = SequenceTable(test_set[0])
    if not len(table):
        raise ValueError(f'{path} lists no sequence; take other data')
    for sequence in table:
        if not sequence.annotated:
            raise ValueError(
                f'{path}: {sequence.name} has {len(sequence)} frames and '
                f'{len(sequence.boxes_xywh)} box, and without a box for each nothing can be '
                'scored; take other data'
            )
    return test_set


def _config_of(folder: Path) -> Config:
    """A test config of a folder of sequences."""
    dataset = dict(type='FolderDataset', data_prefix=dict(img_path=''))
    if (info := next((one for one in _INFO_FILES if (folder / one).is_file()), None)) is not None:
        dataset.update(type='AnnotatedGOT10kDataset', ann_file=info)
    dataset.update(data_root=f'{folder}/', pipeline=[], test_mode=True)
    evaluator = dict(type='BenchmarkMetric', protocol='folder')
    return Config(dict(test_dataloader=dict(dataset=dataset), test_evaluator=evaluator))


def build_test_set(cfg: Config, data_root: str | None = None) -> TestSet:
    """A data set, and what makes evaluators with its metric, which write no files.

    Args:
        cfg: With ``test_dataloader`` and ``test_evaluator``.
        data_root: Folder in the place of that in the config.

    Raises:
        FileNotFoundError: If the data are not there.
    """
    source = cfg.test_dataloader.dataset
    if data_root:
        source.data_root = str(Path(data_root)) + '/'
    check_data_files(source)
    with DefaultScope.overwrite_default_scope('mmtrack'):  # its pipeline is looked for there
        dataset = DATASETS.build(source)

    settings = {k: v for k, v in cfg.test_evaluator.items() if k != 'outfile_prefix'}

    # The comparison shows the numbers side by side; a metric would log them one by one.
    if not MMLogger.check_instance_created('comparison'):
        MMLogger.get_instance('comparison', log_level='WARNING')

    def new_scorer() -> Evaluator:
        scorer = Evaluator([METRICS.build(settings)])
        scorer.dataset_meta = {**dataset.metainfo, 'sequences': SequenceTable(dataset)}
        return scorer

    return dataset, new_scorer
