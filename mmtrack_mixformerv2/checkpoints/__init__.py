"""Checkpoints: read without running their code, converted strictly, cut down, written plainly."""

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
from .shrink import (
    depth_of,
    drop_layers,
    first_layers,
    fit_position_tables,
    hidden_widths,
    keep_layers,
    mlp_ratios,
    other_layers,
    reduce_mlp,
    skip_layers,
)
from .writing import check_destination, write_checkpoint

__all__ = [
    'NOT_IN_A_VIT',
    'RELEASED',
    'Checkpoint',
    'Conversion',
    'Sizes',
    'check_destination',
    'convert_state_dict',
    'depth_of',
    'drop_layers',
    'first_layers',
    'fit_position_tables',
    'fitting_config',
    'hidden_widths',
    'identify',
    'keep_layers',
    'mlp_ratios',
    'model_settings',
    'other_layers',
    'publish_state_dict',
    'read_checkpoint',
    'reduce_mlp',
    'skip_layers',
    'write_checkpoint',
]
