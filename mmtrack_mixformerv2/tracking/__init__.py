"""The online tracker around any network: NumPy and OpenCV, neither torch nor mmengine."""

from .baselines import OpenCVTracker, StillBox
from .confidence import ConfidenceModel, StatePolicy, TargetState
from .crops import Crops, HostCrops
from .predictor import BatchPredictor, Prediction, Predictor
from .region import (
    clip_box,
    crop_region,
    padding_mask,
    region_to_image,
    training_label,
    validate_box,
    validate_frame,
)
from .sequence_tracker import EdgeDistributions, SequenceTracker, TrackResult
from .settings import TrackingSettings
from .state import SequenceState
from .template import TemplateMemory, TemplateRefresh
from .tracker import Tracker

__all__ = [
    'BatchPredictor',
    'ConfidenceModel',
    'Crops',
    'EdgeDistributions',
    'HostCrops',
    'OpenCVTracker',
    'Prediction',
    'Predictor',
    'SequenceState',
    'SequenceTracker',
    'StatePolicy',
    'StillBox',
    'TargetState',
    'TemplateMemory',
    'TemplateRefresh',
    'TrackResult',
    'Tracker',
    'TrackingSettings',
    'clip_box',
    'crop_region',
    'padding_mask',
    'region_to_image',
    'training_label',
    'validate_box',
    'validate_frame',
]
