"""Videos: where frames come from, where results go, and how they are drawn; BGR throughout.

OpenCV and NumPy only. What writes and draws results is imported by its own name:
:mod:`.recorder`, :mod:`.track_files`, :mod:`.overlay`, :mod:`.windows`.
"""

from .sources import (
    FrameSource,
    Source,
    SourceError,
    count_frames,
    open_source,
    quieten_opencv,
    read_frames,
)
from .writing import VideoFile, write_video

__all__ = [
    'FrameSource',
    'Source',
    'SourceError',
    'VideoFile',
    'count_frames',
    'open_source',
    'quieten_opencv',
    'read_frames',
    'write_video',
]
