"""The online tracker around any network: NumPy and OpenCV, neither torch nor mmengine."""

from .baselines import OpenCVTracker, StillBox
from .region import (
    clip_box,
    crop_region,
    padding_mask,
    region_to_image,
    training_label,
    validate_box,
    validate_frame,
)
from .sequence_tracker import (
    Predictor,
    SequenceState,
    SequenceTracker,
    TrackingSettings,
    TrackResult,
)
from .template import TemplateMemory, TemplateRefresh

__all__ = [
    'OpenCVTracker',
    'Predictor',
    'SequenceState',
    'SequenceTracker',
    'StillBox',
    'TemplateMemory',
    'TemplateRefresh',
    'TrackResult',
    'TrackingSettings',
    'clip_box',
    'crop_region',
    'padding_mask',
    'region_to_image',
    'training_label',
    'validate_box',
    'validate_frame',
]
