"""Exported models: trackers that need NumPy, OpenCV and one runtime, neither torch nor mmengine."""

from .errors import BackendNotInstalled, CacheMismatch, ExportedModelError
from .graph_predictor import GraphCache, GraphPredictor
from .model_info import ModelInfo
from .opening import open_exported, open_predictor

__all__ = [
    'BackendNotInstalled',
    'CacheMismatch',
    'ExportedModelError',
    'GraphCache',
    'GraphPredictor',
    'ModelInfo',
    'open_exported',
    'open_predictor',
]
