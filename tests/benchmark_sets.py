"""Data sets over the tiny benchmarks, and what they log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import benchmark_layouts as made
from mmengine.logging import MMLogger
from mmtrack.registry import DATASETS

from mmtrack_mixformerv2.evaluation import SequenceTable

ALL = {  # class, make, options of make, img_path
    'lasot': ('LaSOTTestDataset', made.make_lasot, {}, 'LaSOTBenchmark'),
    'lasot_ext': ('LaSOTTestDataset', made.make_lasot_ext, {}, ''),
    'got10k val': ('AnnotatedGOT10kDataset', made.make_got10k, {'split': 'val'}, ''),
    'got10k test': ('GOT10kTestDataset', made.make_got10k, {'split': 'test'}, ''),
    'trackingnet': ('TrackingNetTestDataset', made.make_trackingnet, {}, ''),
    'uav123': ('UAV123TestDataset', made.make_uav123, {}, ''),
    'otb100': ('OTB100TestDataset', made.make_otb100, {}, ''),
    'tnl2k': ('TNL2KTestDataset', made.make_tnl2k, {}, ''),
    'nfs30': ('NfSTestDataset', made.make_nfs, {'fps': 30}, ''),
    'nfs240': ('NfSTestDataset', made.make_nfs, {'fps': 240}, ''),
    'folder': ('FolderDataset', made.make_folder, {}, ''),
}


def config(kind: str, root: Path, lines: list[str] | None = None, **data_prefix: str) -> dict:
    """Config of a data set whose info file has these lines, in test mode."""
    settings = {'type': kind, 'data_root': str(root), 'pipeline': [], 'test_mode': True}
    settings['serialize_data'] = False  # that collects garbage, which takes long
    if lines is not None:
        settings['ann_file'] = str(made.write_infos(root, 'some', lines))
    return {**settings, 'data_prefix': {'img_path': '', **data_prefix}}


def table(kind: str, root: Path, lines: list[str] | None = None, **prefix: str) -> SequenceTable:
    """The sequences of such a data set."""
    return SequenceTable(DATASETS.build(config(kind, root, lines, **prefix)))


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    """Messages that are logged meanwhile, with their level."""
    records = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append((record.levelname, record.getMessage()))

    logger = MMLogger.get_current_instance()  # perhaps of a runner that only said errors
    before = logger.handlers, logger.level
    logger.handlers = [Keep(logging.INFO)]
    logger.setLevel(logging.INFO)
    try:
        yield records
    finally:
        logger.handlers = before[0]
        logger.setLevel(before[1])
