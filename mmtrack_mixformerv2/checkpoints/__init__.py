"""Checkpoints: read without running their code, converted strictly, cut down, written plainly."""

from .convert import (
    NOT_IN_A_VIT,
    Conversion,
    bare_names,
    convert_state_dict,
    fitting_config,
    identify,
    model_settings,
)
from .naming import (
    conversion_advice,
    conversion_command,
    describe_misfit,
    describe_weights,
    measure,
    name_weights,
    weights_in,
)
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
from .systems import RELEASED, SYSTEMS, Sizes, System, TrackerSizes
from .writing import check_destination, write_checkpoint

__all__ = [
    'NOT_IN_A_VIT',
    'RELEASED',
    'SYSTEMS',
    'Checkpoint',
    'Conversion',
    'Sizes',
    'System',
    'TrackerSizes',
    'bare_names',
    'check_destination',
    'conversion_advice',
    'conversion_command',
    'convert_state_dict',
    'depth_of',
    'describe_misfit',
    'describe_weights',
    'drop_layers',
    'first_layers',
    'fit_position_tables',
    'fitting_config',
    'hidden_widths',
    'identify',
    'keep_layers',
    'measure',
    'mlp_ratios',
    'model_settings',
    'name_weights',
    'other_layers',
    'publish_state_dict',
    'read_checkpoint',
    'reduce_mlp',
    'skip_layers',
    'weights_in',
    'write_checkpoint',
]
