"""A training that starts from the weights of a larger model (MixFormerV2, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from mmtrack.registry import HOOKS
from torch import nn

from ..checkpoints.publish import FIXED_TABLES
from ..checkpoints.shrink import (
    UNITS,
    StateDict,
    check_prunable,
    depth_of,
    first_layers,
    fit_position_tables,
    hidden_widths,
    reduce_mlp,
    skip_layers,
)
from ..checkpoints.shrink import keep_layers as keep
from .checkpoint_adapter import CheckpointAdapterHook
from .strict_load_hook import bare_weights


@HOOKS.register_module()
class ShrinkParentHook(CheckpointAdapterHook):
    """Makes the file of ``load_from`` fit a model that is smaller than the one it was made with.

    The parent may be deeper, have wider MLPs, and see other sizes of search regions and templates;
    its tokens have the same width. The file itself stays as it is, and so does the checkpoint of a
    training that is resumed. What does not fit beyond this is left to StrictLoadHook.

    Args:
        keep_layers: The parent's layers to start with: a list, 0-based; ``'first'``, as many as the
            model has; ``'skip'``, as many at even distances, see
            :func:`~mmtrack_mixformerv2.checkpoints.shrink.skip_layers`; None for all, and then the
            model has to have as many.
        mlp_units: Which hidden units of wider MLPs stay: ``'first'``, as the paper, or ``'norm'``,
            see :func:`~mmtrack_mixformerv2.checkpoints.shrink.reduce_mlp`.
    """

    def __init__(
        self, keep_layers: str | Sequence[int] | None = None, mlp_units: str = 'first'
    ) -> None:
        listed = isinstance(keep_layers, Sequence) and not isinstance(keep_layers, str)
        if not listed and keep_layers not in ('first', 'skip', None):
            raise ValueError(
                f"keep_layers is {keep_layers!r}, expected 'first', 'skip', a list of layers or "
                'None'
            )
        if mlp_units not in UNITS:
            raise ValueError(f"mlp_units is {mlp_units!r}, expected 'first' or 'norm'")
        self.keep_layers = keep_layers
        self.mlp_units = mlp_units

    def adapt(self, model: nn.Module, checkpoint: dict, *, source: str, resume: bool) -> str | None:
        """Replace the weights in a checkpoint to start from by those that fit the model.

        Raises:
            ValueError: If the parent is a system other than MixFormerV2 and MixViT, there are other
                than the model's number of layers to start with, or an MLP or the width of the
                tokens of the model is not among those of the parent.
        """
        if resume:
            return None
        state = bare_weights(checkpoint, source)
        try:
            check_prunable(state, 'it')
            fitted, done = self._shrink(state, model.state_dict())
        except ValueError as error:
            raise ValueError(
                f'ShrinkParentHook cannot make {source} fit the model: {error}'
            ) from error
        if not done:
            return None
        if 'state_dict' not in checkpoint:
            checkpoint.clear()
        checkpoint['state_dict'] = fitted
        return f'{source} was made to fit the model: {"; ".join(done)}.'

    def _shrink(self, state: StateDict, wanted: StateDict) -> tuple[StateDict, list[str]]:
        """Weights that fit as far as the parent can be cut, and what was done."""
        depths, done = (depth_of(state), depth_of(wanted)), []
        before, after = hidden_widths(state), hidden_widths(wanted)
        width, own_width = (s['backbone.blocks.0.mlp.fc1.weight'].shape[1] for s in (state, wanted))
        if width != own_width:
            raise ValueError(
                f'its tokens have {width} channels, those of the model {own_width}; only a parent '
                'of the same width can be cut down.'
            )
        if self.keep_layers is not None:
            layers = self._layers(*depths)
            if layers != list(range(depths[0])):
                state = keep(state, layers)
                before = hidden_widths(state)
                done.append(f'layers {", ".join(map(str, layers))} of {depths[0]}')
        elif depths[0] != depths[1]:
            return state, done
        if before != after:
            state = reduce_mlp(state, after, self.mlp_units)
            which = 'first' if self.mlp_units == 'first' else 'strongest'
            done.append(f'{_text(before)} hidden units of the MLPs to the {which} {_text(after)}')
        grids = {name: isqrt(wanted[name].shape[1]) for name in FIXED_TABLES if name in wanted}
        state, notes = fit_position_tables(state, grids)
        return state, done + notes

    def _layers(self, parent_depth: int, depth: int) -> list[int]:
        if self.keep_layers == 'first':
            return first_layers(parent_depth, depth)
        if self.keep_layers == 'skip':
            return skip_layers(parent_depth, depth)
        if len(self.keep_layers) != depth:
            raise ValueError(
                f'keep_layers={list(self.keep_layers)} names {len(self.keep_layers)} of its '
                f'{parent_depth} layers, and the model has depth={depth}; name as many.'
            )
        return sorted(self.keep_layers)


def _text(numbers: Sequence[int]) -> str:
    """Each number, or the one that all are."""
    return ', '.join(map(str, numbers if len(set(numbers)) > 1 else numbers[:1]))
