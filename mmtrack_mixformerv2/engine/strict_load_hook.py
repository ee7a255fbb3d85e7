"""A checkpoint that does not fit the model stops the run before any compute is spent.

MMEngine loads with ``strict=False`` and only warns, so a test with the weights of another model
runs for hours and reports the numbers of a randomly initialised tracker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from mmtrack.registry import HOOKS
from torch import nn

from ..checkpoints import bare_names, describe_misfit

_LISTED = 4  # names per kind of difference in a message


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Compares names and shapes of a checkpoint with the model, when it was read and not yet used.

    For a test, a validation and a resumed training everything must match. A training that starts
    from ``load_from`` may lack the parts of the model that it is told to.

    Args:
        allow_missing: Prefixes of names, such as ``score_head``, which a checkpoint given as
            ``load_from`` of a training need not contain; these parts stay as initialised.
    """

    priority = 'VERY_HIGH'  # before the EMA hook loads the same weights

    def __init__(self, allow_missing: Sequence[str] = ()) -> None:
        if isinstance(allow_missing, str):
            raise TypeError(f'allow_missing is a list of prefixes; write [{allow_missing!r}]')
        self.allow_missing = tuple(allow_missing)

    def after_load_checkpoint(self, runner: Runner, checkpoint: Any) -> None:
        """Check the checkpoint that the runner is about to load.

        Raises:
            ValueError: If it does not fit.
        """
        source, whole = checkpoint_origin(runner)
        self.check(runner.model, checkpoint, source=source, whole=whole)

    def check(self, model: nn.Module, checkpoint: Any, *, source: str, whole: bool) -> None:
        """Compare a checkpoint with a model.

        Args:
            model: The model, with or without a distributed wrapper.
            checkpoint: ``dict(state_dict=...)``, or a state dict itself.
            source: What to call the checkpoint in the message.
            whole: Whether the checkpoint has to contain the whole model.

        Raises:
            ValueError: If they do not fit; lists names, shapes and what to do.
        """
        model = bare_model(model)
        state = bare_weights(checkpoint, source)
        found = _shapes(state)
        wanted = _shapes(model.state_dict())
        unexpected = [name for name in found if name not in wanted]
        missing = [
            name
            for name in wanted
            if name not in found
            and not name.endswith('num_batches_tracked')
            and (whole or not _starts_with(name, self.allow_missing))
        ]
        other = [name for name in found if name in wanted and found[name] != wanted[name]]
        kinds = _other_kinds(state, model.state_dict())
        if not (unexpected or missing or other or kinds):
            return
        start = f'{source} does not fit the model {type(model).__name__}:'
        told, lists = describe_misfit(source, checkpoint, model.state_dict()) or ('', True)
        if not lists:
            raise ValueError(f'{start} {told}')
        shapes = [f'{n} {found[n]} instead of {wanted[n]}' for n in other]
        lines = [
            f'{start} {told}'.rstrip(),
            *_listed('only in the checkpoint', unexpected),
            *_listed('only in the model', missing),
            *_listed('of another shape', shapes),
            *_listed('of another kind of number', kinds),
            *_different_lengths(found, wanted),
            'Use the config that the checkpoint was made with, or the sizes named above in yours. '
            'A training may start with parts that the checkpoint lacks when they are named: '
            "custom_hooks=[dict(type='StrictLoadHook', allow_missing=['score_head'])]. Published "
            'files are converted first, with tools/model_converters/convert_checkpoint.py.',
        ]
        raise ValueError('\n  '.join(lines))


def bare_model(model: nn.Module) -> nn.Module:
    """The model itself, without a distributed wrapper."""
    return model.module if is_model_wrapper(model) else model


def checkpoint_origin(runner: Runner) -> tuple[str, bool]:
    """Say what the runner is about to load.

    Returns:
        What to call the checkpoint in a message, and whether it is of this model itself: for a
        test, a validation or a resumed training, not for a training that starts from it.
    """
    training = isinstance(runner._train_loop, BaseLoop)  # a config until train() is called
    source = runner._load_from or f'the latest checkpoint in {runner.work_dir}'
    return source, not training or bool(runner._resume)


def load_whole(model: nn.Module, checkpoint: Any, *, source: str) -> None:
    """Load all weights of a model; batch norms saved without their counters keep their own.

    Args:
        model: The model, without a distributed wrapper.
        checkpoint: ``dict(state_dict=...)``, or a state dict itself.
        source: What to call the checkpoint in the message.

    Raises:
        ValueError: If they do not fit; lists names, shapes and what to do.
    """
    StrictLoadHook().check(model, checkpoint, source=source, whole=True)
    model.load_state_dict({**model.state_dict(), **bare_weights(checkpoint, source)})


def fitting_part(
    module: nn.Module, checkpoint: Any, *, source: str, prefix: str | None = None
) -> dict[str, Any]:
    """Pick what ``init_cfg=dict(type='Pretrained')`` loads into a module, as MMEngine does.

    Layers beyond the last one of the module are left out: a module may start from the first layers
    of a deeper one.

    Args:
        module: What the weights are for.
        checkpoint: ``dict(state_dict=...)``, or a state dict itself.
        source: What to call the checkpoint in the message.
        prefix: Of the names in the checkpoint that are meant, and removed; None for all.

    Raises:
        ValueError: If no name has the prefix, or there is no state dict.
    """
    start = 'module.' if prefix is None else prefix.rstrip('.') + '.'
    state = {
        name[len(start) :] if name.startswith(start) else name: value
        for name, value in state_dict_of(checkpoint, source).items()
        if prefix is None or name.startswith(start)
    }
    if not state:
        raise ValueError(f"{source} has no weights whose names begin with '{start}'")
    lengths = _list_lengths(module.state_dict())
    layers = {name: re.match(r'(.*?)\.(\d+)\.', name) for name in state}
    return {
        name: value
        for name, value in state.items()
        if not (match := layers[name]) or int(match[2]) < lengths.get(match[1], int(match[2]) + 1)
    }


def state_dict_of(checkpoint: Any, source: str) -> Mapping[str, Any]:
    """The weights in a checkpoint, which may be nothing but a state dict.

    Raises:
        ValueError: If it is something else.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(state, Mapping):
        raise ValueError(
            f'{source} holds a {type(checkpoint).__name__}; expected a state dict, or a dict with '
            'one under the name state_dict'
        )
    return state


def bare_weights(checkpoint: Any, source: str) -> dict[str, Any]:
    """The weights in a checkpoint, without the prefix that a distributed wrapper gives to names.

    Raises:
        ValueError: As :func:`state_dict_of`.
    """
    return bare_names(state_dict_of(checkpoint, source))


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(value.shape) for name, value in state.items() if isinstance(value, torch.Tensor)
    }


def _other_kinds(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Weights that would lose what they say when they are copied, such as whole numbers."""
    return [
        f'{name} {value.dtype} instead of {wanted[name].dtype}'
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and name in wanted
        if wanted[name].is_floating_point() and not value.is_floating_point()
    ]


def _starts_with(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(prefix.rstrip('.') + '.') for prefix in prefixes)


def _listed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    rest = len(names) - _LISTED
    more = f' and {rest} more' if rest > 0 else ''
    return [f'{len(names)} {what}: {", ".join(names[:_LISTED])}{more}']


def _different_lengths(found: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Explain lists of modules that both have, with different lengths (the depth, usually)."""
    in_checkpoint, in_model = _list_lengths(found), _list_lengths(wanted)
    return [
        f'{name} has {in_checkpoint[name]} entries in the checkpoint and {length} in the model'
        for name, length in in_model.items()
        if name in in_checkpoint and in_checkpoint[name] != length
    ]


def _list_lengths(names: Iterable[str]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for name in names:
        match = re.match(r'(.*?)\.(\d+)\.', name)
        if match:
            lengths[match[1]] = max(lengths.get(match[1], 0), int(match[2]) + 1)
    return lengths
