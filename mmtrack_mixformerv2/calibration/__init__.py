"""What the score of a tracker is worth: calibrate its confidence, and measure its states."""

from .fitting import Samples, fit_confidence, gather_samples, split_sequences
from .opening import open_test, with_policy
from .reliability import (
    Reliability,
    brier_score,
    expected_calibration_error,
    rank_quality,
    reliability,
    reliability_figure,
)
from .runs import SequenceRun, observe, observe_all
from .states import Hidden, StateMeasures, hidden_events, measure_states

__all__ = [
    'Hidden',
    'Reliability',
    'Samples',
    'SequenceRun',
    'StateMeasures',
    'brier_score',
    'expected_calibration_error',
    'fit_confidence',
    'gather_samples',
    'hidden_events',
    'measure_states',
    'observe',
    'observe_all',
    'open_test',
    'rank_quality',
    'reliability',
    'reliability_figure',
    'split_sequences',
    'with_policy',
]
