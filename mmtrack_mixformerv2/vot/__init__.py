"""VOT challenges: a tracker that the VOT toolkit drives from its own process.

The toolkit is under the GPL. It is never imported here: the two processes exchange lines of text.
"""

from .regions import format_filled_box, format_mask, format_rectangle, region_to_box
from .rendered import write_rendered_sequences
from .server import REGIONS, serve, toolkit_streams
from .trax import Message, format_message, parse_message
from .workspace import add_tracker, region_of, write_workspace

__all__ = [
    'REGIONS',
    'Message',
    'add_tracker',
    'format_filled_box',
    'format_mask',
    'format_message',
    'format_rectangle',
    'parse_message',
    'region_of',
    'region_to_box',
    'serve',
    'toolkit_streams',
    'write_rendered_sequences',
    'write_workspace',
]
