"""Info files, the lists of sequences that data sets read, and checks of what they list."""

from .checks import Checked, check_sequence
from .conversion import Conversion, convert, describe, write_info_file
from .entries import Entry, read_names
from .layouts import BENCHMARKS, Benchmark

__all__ = [
    'BENCHMARKS',
    'Benchmark',
    'Checked',
    'Conversion',
    'Entry',
    'check_sequence',
    'convert',
    'describe',
    'read_names',
    'write_info_file',
]
