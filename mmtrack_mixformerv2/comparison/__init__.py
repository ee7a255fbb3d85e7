"""Several trackers side by side: their size, their speed and how well they track.

A tracker is whatever has ``init`` and ``track``: a model, or one of
:mod:`mmtrack_mixformerv2.tracking`.
"""

from .scoring import TrackRecord, measure_speed, measure_tracker
from .test_sets import build_test_set, open_test_set

__all__ = [
    'TrackRecord',
    'build_test_set',
    'measure_speed',
    'measure_tracker',
    'open_test_set',
]
