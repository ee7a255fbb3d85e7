"""A loss or weights that are no longer numbers end the training, and say where it happened."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import (
    all_gather_object,
    all_reduce,
    barrier,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmtrack.registry import HOOKS
from torch import Tensor

from ..datasets import describe_sample


class NonFiniteError(FloatingPointError):
    """A loss or weights became NaN or infinite; no checkpoint has been made of that."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first NaN or infinite loss, before a checkpoint is made of the spoilt weights.

    All processes of a distributed run stop together: the gradients that they have averaged are
    spoilt in all of them, whichever saw the loss.
    """

    priority = 'HIGH'  # before the hooks that log and save

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Tensor] | None = None,
    ) -> None:
        """Look at the loss and its terms; other outputs are only logged.

        Raises:
            NonFiniteError: Names the iteration, the terms, the samples of the batch and the last
                good checkpoint. The log says more about the samples.
        """
        losses = {k: v.detach() for k, v in (outputs or {}).items() if 'loss' in k}
        if not losses or not _in_any_process(_not_finite(losses.values())):
            return
        bad = [f'{k} = {v.item()}' for k, v in losses.items() if not torch.isfinite(v).all()]
        place = f'iteration {runner.iter + 1} (epoch {runner.epoch + 1})'
        samples = _samples_of(data_batch) if bad else []
        report = get_rank(), bad, _keys(samples), [describe_sample(s) for s in samples]
        reports = [report for report in all_gather_object(report) if report[1]]
        for rank, _, _, described in reports if is_main_process() else ():
            for sample in described:
                runner.logger.error(f'{place}, process {rank}: {sample}')
        barrier()  # the first process to end takes the others with it, so they wait for the log
        what = '; '.join(_summary(*report[:3]) for report in reports)
        raise _error(runner, f'the loss is not finite in {place}: {what}')


def check_weights(runner: Runner, iterations: int) -> None:
    """Look at the weights that are about to be saved. All processes of a run have to call this.

    A gradient may be infinite where the loss is not, so the loss alone does not tell.

    Args:
        runner: The runner of the training.
        iterations: Iterations done.

    Raises:
        NonFiniteError: Names the weights and the last good checkpoint.
    """
    weights = dict(runner.model.named_parameters())
    if _in_any_process(_not_finite(weights.values())):
        bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
        names = ', '.join(bad[:4]) + (f' and {len(bad) - 4} more' if len(bad) > 4 else '')
        place = f'iteration {iterations} (epoch {runner.epoch + 1})'
        raise _error(runner, f'weights are not finite after {place}: {names}')


def _not_finite(values: Iterable[Tensor]) -> Tensor:
    """1 where any value is NaN or infinite, else 0; nothing is copied from the device."""
    return (~torch.stack([torch.isfinite(v.detach()).all() for v in values]).all()).float()


def _in_any_process(flag: Tensor) -> bool:
    all_reduce(flag, 'max')
    return bool(flag)


def _error(runner: Runner, what: str) -> NonFiniteError:
    candidates = [
        runner.message_hub.runtime_info.get('last_ckpt'),
        runner._load_from if runner._resume else None,  # where the training was moved since
    ]
    last = next((path for path in candidates if path and Path(path).exists()), None)
    good = f'the last good checkpoint is {last}' if last else 'there is no checkpoint yet'
    return NonFiniteError(
        f'{what}. Nothing of this iteration was saved; {good}. Runs repeat exactly, so change '
        'something before going on with --resume: repair the data, lower '
        'optim_wrapper.clip_grad.max_norm or drop --amp. Another learning rate needs a new start, '
        f'which may be from these weights: --cfg-options load_from={last or "CHECKPOINT"}'
    )


def _samples_of(batch: Any) -> list:
    if isinstance(batch, Mapping):
        return _samples_of(batch.get('data_samples') or [])
    if isinstance(batch, (list, tuple)):
        return [sample for part in batch for sample in _samples_of(part)]
    return [batch] if isinstance(batch, BaseDataElement) else []


def _keys(samples: Sequence[BaseDataElement]) -> str:
    """The keys of the samples, short: ``(seed 0, epoch 3) index 12, 13``."""
    indices: dict[str, list[str]] = {}
    for sample in samples:
        if 'sample_key' in sample.metainfo:
            seed, epoch, index = sample.metainfo['sample_key']
            indices.setdefault(f'(seed {seed}, epoch {epoch})', []).append(str(index))
    return ' '.join(f'{start} index {", ".join(rest)}' for start, rest in indices.items())


def _summary(rank: int, bad: Sequence[str], keys: str) -> str:
    process = f' in process {rank}' if get_world_size() > 1 else ''
    return f'{", ".join(bad)}{process} for the samples {keys or "without keys"}'


def stop_with(error: NonFiniteError) -> str | int:
    """What to hand to ``sys.exit``: the message in the main process, 1 in the others."""
    if get_world_size() == 1:
        return f'error: {error}'
    if is_main_process():
        print(f'error: {error}', file=sys.stderr, flush=True)
    barrier()
    return 1
