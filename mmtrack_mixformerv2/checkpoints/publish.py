"""Weights of a training to the small ones that are handed out: state dict to state dict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor

# Only the losses of a training read these parts.
AUXILIARY = 'auxiliary.'

# Fixed by a formula, but loaded like weights: rounded ones would take the place of exact ones.
FIXED_TABLES = ('backbone.search_pos_embed', 'backbone.template_pos_embed')


def publish_state_dict(
    state: Mapping[str, Tensor], *, half: bool = True
) -> OrderedDict[str, Tensor]:
    """Leave out what only a training needs and halve the precision; the input stays as it is.

    Args:
        state: Weights of a tracker under our names.
        half: Whether to round floating-point weights to float16. The fixed position tables and
            tensors of integers are never rounded.
    """
    published = OrderedDict()
    for name, value in state.items():
        if name.startswith(AUXILIARY):
            continue
        rounded = half and value.is_floating_point() and name not in FIXED_TABLES
        published[name] = value.to(torch.float16) if rounded else value
    return published
