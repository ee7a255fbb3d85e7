"""Pictures of what a tracker attends to and how sure it is, and the numbers behind them.

The parts are imported when they are first used: results of an exported model are drawn without
torch, and arrays are made without matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .frame_explanation import FrameExplanation

if TYPE_CHECKING:
    from .attention import explain_frame, target_similarity
    from .edge_pictures import draw_edges, edge_figure
    from .frame_album import AlbumLimits, FrameAlbum
    from .pictures import (
        attention_figure,
        figure_array,
        layers_figure,
        overlay_heat,
        save_figure,
        similarity_figure,
    )
    from .recording import Recording
    from .report import write_report
    from .timeline import score_timeline

_MODULES = {
    'explain_frame': 'attention',
    'target_similarity': 'attention',
    'draw_edges': 'edge_pictures',
    'edge_figure': 'edge_pictures',
    'attention_figure': 'pictures',
    'figure_array': 'pictures',
    'layers_figure': 'pictures',
    'overlay_heat': 'pictures',
    'save_figure': 'pictures',
    'similarity_figure': 'pictures',
    'score_timeline': 'timeline',
    'AlbumLimits': 'frame_album',
    'FrameAlbum': 'frame_album',
    'Recording': 'recording',
    'write_report': 'report',
}

__all__ = [
    'AlbumLimits',
    'FrameAlbum',
    'FrameExplanation',
    'Recording',
    'attention_figure',
    'draw_edges',
    'edge_figure',
    'explain_frame',
    'figure_array',
    'layers_figure',
    'overlay_heat',
    'save_figure',
    'score_timeline',
    'similarity_figure',
    'target_similarity',
    'write_report',
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'.{_MODULES[name]}', __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
