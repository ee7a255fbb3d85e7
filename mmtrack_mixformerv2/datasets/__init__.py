"""Data of trainings and tests: sequences of every benchmark, and how samples are drawn and cropped.

Training: which samples an epoch has, how they are drawn, how they are cropped. Tests: a class for
each benchmark, see :mod:`.benchmarks`.
"""

from .annotated_got10k import AnnotatedGOT10kDataset
from .benchmark_dataset import BenchmarkDataset
from .benchmarks import (
    GOT10kTestDataset,
    LaSOTTestDataset,
    NfSTestDataset,
    OTB100TestDataset,
    TNL2KTestDataset,
    TrackingNetTestDataset,
    UAV123TestDataset,
)
from .data_files import check_data_files
from .folder_dataset import FolderDataset
from .identity import describe_sample
from .sampled_dataset import SampledTripletDataset
from .sampler import SampleKey, SampleKeySampler
from .score_dataset import ScoreTripletDataset
from .transforms import (
    CropBrightness,
    CropFlip,
    CropTemplatesAndSearch,
    JointFlip,
    JointGrayscale,
    LoadFrame,
    LoadFrames,
    read_frame,
)

__all__ = [
    'AnnotatedGOT10kDataset',
    'BenchmarkDataset',
    'CropBrightness',
    'CropFlip',
    'CropTemplatesAndSearch',
    'FolderDataset',
    'GOT10kTestDataset',
    'JointFlip',
    'JointGrayscale',
    'LaSOTTestDataset',
    'LoadFrame',
    'LoadFrames',
    'NfSTestDataset',
    'OTB100TestDataset',
    'SampleKey',
    'SampleKeySampler',
    'SampledTripletDataset',
    'ScoreTripletDataset',
    'TNL2KTestDataset',
    'TrackingNetTestDataset',
    'UAV123TestDataset',
    'check_data_files',
    'describe_sample',
    'read_frame',
]
