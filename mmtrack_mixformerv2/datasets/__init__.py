"""Training data: which samples an epoch has, how they are drawn, how they are cropped."""

from .annotated_got10k import AnnotatedGOT10kDataset
from .data_files import check_data_files
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
    'CropBrightness',
    'CropFlip',
    'CropTemplatesAndSearch',
    'JointFlip',
    'JointGrayscale',
    'LoadFrame',
    'LoadFrames',
    'SampleKey',
    'SampleKeySampler',
    'SampledTripletDataset',
    'ScoreTripletDataset',
    'check_data_files',
    'describe_sample',
    'read_frame',
]
