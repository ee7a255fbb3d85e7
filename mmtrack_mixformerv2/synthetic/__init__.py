"""A renderer of tracking sequences, for training and testing without downloads."""

from .difficulty import PRESETS, Difficulty, make_difficulty
from .sequence import RenderedSequence, render_sequence
from .textures import find_photographs, load_photographs
from .writer import RenderSettings, write_dataset

__all__ = [
    'PRESETS',
    'Difficulty',
    'RenderSettings',
    'RenderedSequence',
    'find_photographs',
    'load_photographs',
    'make_difficulty',
    'render_sequence',
    'write_dataset',
]
