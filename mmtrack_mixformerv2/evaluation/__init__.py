"""Benchmarks: sequences, result files, the official numbers and how they are shown."""

from .box_files import read_boxes
from .metric import BenchmarkMetric
from .protocols import PROTOCOLS, Protocol, get_protocol
from .report import Report, score_folder
from .sequences import Sequence, SequenceTable

__all__ = [
    'PROTOCOLS',
    'BenchmarkMetric',
    'Protocol',
    'Report',
    'Sequence',
    'SequenceTable',
    'get_protocol',
    'read_boxes',
    'score_folder',
]
