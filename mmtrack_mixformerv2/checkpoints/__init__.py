"""Checkpoints of others: read without running their code, converted strictly, written plainly."""

from .convert import (
    NOT_IN_A_VIT,
    RELEASED,
    Conversion,
    convert_state_dict,
    fitting_config,
    identify,
    model_settings,
)
from .key_maps import Sizes
from .publish import publish_state_dict
from .reading import Checkpoint, read_checkpoint
from .writing import check_destination, write_checkpoint

__all__ = [
    'NOT_IN_A_VIT',
    'RELEASED',
    'Checkpoint',
    'Conversion',
    'Sizes',
    'check_destination',
    'convert_state_dict',
    'fitting_config',
    'identify',
    'model_settings',
    'publish_state_dict',
    'read_checkpoint',
    'write_checkpoint',
]
