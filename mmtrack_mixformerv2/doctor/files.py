"""The part of an examination that imports torch and OpenMMLab, in a process of its own.

What is found is told at once, so that it survives if a package crashes after it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .findings import Finding, Status

if TYPE_CHECKING:
    from .checkpoint import Identified, Weights


def main(job: dict[str, Any]) -> None:
    """Print the findings of a job behind its mark.

    Args:
        job: ``mark``, and the arguments of :func:`examine_files`.
    """
    arguments = {name: job[name] for name in ('checkpoint', 'data_root', 'config', 'benchmark')}
    out = os.fdopen(os.dup(sys.stdout.fileno()), 'w', encoding='utf-8')
    with contextlib.redirect_stdout(sys.stderr):  # whatever packages have to tell
        for finding in examine_files(**arguments):
            print(job['mark'] + json.dumps(asdict(finding)), file=out, flush=True)


def examine_files(
    *,
    checkpoint: str | None = None,
    data_root: str | None = None,
    config: str | None = None,
    benchmark: str | None = None,
) -> Iterator[Finding]:
    """OpenMMLab, and then a checkpoint and a data set, as far as they are given."""
    identified = None
    if checkpoint is not None:
        identified = yield from _guarded('checkpoint', 'file', _identify(checkpoint))
    usable = yield from try_openmmlab()
    if identified is not None and identified.weights:
        wanted = config or identified.config
        yield from _guarded('checkpoint', 'known-answer', _try(identified.weights, wanted, usable))
    if data_root is not None:
        yield from _guarded('dataset', 'layout', _check(data_root, benchmark, usable))


def _identify(checkpoint: str) -> Generator[Finding, None, Identified]:
    from .checkpoint import identify

    identified = identify(checkpoint)
    yield from identified.findings
    if identified.exported:
        from .trial import try_exported

        yield from try_exported(identified.exported)
    return identified


def _try(weights: Weights, config: str | Path | None, usable: bool) -> Iterator[Finding]:
    if not usable:
        yield _not_without_openmmlab('checkpoint', 'known-answer', 'the checkpoint was not run')
        return
    from .trial import try_weights

    yield from try_weights(weights, config)


def _check(data_root: str, benchmark: str | None, usable: bool) -> Iterator[Finding]:
    if not usable:
        yield _not_without_openmmlab('dataset', 'layout', 'the data set was not checked')
        return
    from .dataset import examine

    yield from examine(Path(data_root).expanduser(), benchmark)


def _guarded(
    section: str, check: str, findings: Iterator[Finding]
) -> Generator[Finding, None, Any]:
    """The findings, and what they return; an exception becomes one, so that others follow."""
    try:
        return (yield from findings)
    except Exception as error:  # a broken package raises anything
        text = f'this could not be finished: {type(error).__name__}: {error}'
        yield Finding(section, check, Status.PROBLEM, text)
        return None


def try_openmmlab() -> Generator[Finding, None, bool]:
    """Fill OpenMMLab's registries and run a tiny tracker; returns whether that went well."""
    if find_spec('mmengine') is None and find_spec('mmtrack') is None:
        text = 'OpenMMLab is not installed'
        yield _say('openmmlab', Status.NOTE, text, openmmlab={'works': False, 'installed': False})
        return False
    facts = {'works': False, 'installed': True, 'compiled_operators': False}
    try:
        # Before registering, which puts something in their place. This imports mmcv.
        spec = find_spec('mmcv._ext') if find_spec('mmcv') else None
        compiled = spec is not None and spec.loader is not None
        _run_tiny_tracker()
    except Exception as error:  # whatever a broken installation raises is what is looked for
        first, _, command = str(error).partition('\n')
        text = f'mmtrack cannot be used: {type(error).__name__}: {first or "no message"}'
        yield _say('openmmlab', Status.PROBLEM, text, command.strip(), openmmlab=facts)
        return False
    facts.update(works=True, compiled_operators=compiled)
    kind = 'compiled operators' if compiled else 'no compiled operators (none are needed)'
    text = f'mmtrack can be imported, a tiny tracker runs; mmcv has {kind}'
    yield _say('openmmlab', Status.OK, text, openmmlab=facts)
    return True


def _run_tiny_tracker() -> None:
    import numpy as np

    import mmtrack_mixformerv2

    mmtrack_mixformerv2.register()
    from mmtrack.registry import MODELS

    model = MODELS.build(
        {
            'type': 'TemplateSearchTracker',
            'data_preprocessor': {
                'type': 'CropDataPreprocessor',
                'mean': [128.0] * 3,
                'std': [64.0] * 3,
            },
            'backbone': {
                'type': 'PMAMViT',
                'search_size': 64,
                'template_size': 32,
                'embed_dims': 32,
                'depth': 1,
                'num_heads': 2,
            },
            'box_head': {'type': 'TokenDistributionHead', 'in_channels': 32, 'num_bins': 16},
        }
    ).eval()
    frame = np.arange(96 * 128 * 3, dtype=np.uint8).reshape(96, 128, 3)
    state = model.init(frame, (40, 30, 20, 20))
    box = model.track(frame, state).box_xywh
    if not np.isfinite(box).all():
        raise ValueError(f'a tiny tracker gives the box {box}')


def _not_without_openmmlab(section: str, check: str, text: str) -> Finding:
    reason = 'that needs torch and OpenMMLab; mend what is said about them first'
    return Finding(section, check, Status.PROBLEM, f'{text}: {reason}')


def _say(check: str, status: Status, text: str, remedy: str = '', **facts: Any) -> Finding:
    return Finding('backends', check, status, text, remedy, facts)
