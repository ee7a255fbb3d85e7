"""Videos: where frames come from, and where they go; BGR throughout. OpenCV and NumPy only."""

from .sources import (
    FrameSource,
    Source,
    SourceError,
    count_frames,
    open_source,
    quieten_opencv,
    read_frames,
)
from .writing import RATES, VideoFile, write_video

__all__ = [
    'RATES',
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
