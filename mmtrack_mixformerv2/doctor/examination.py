"""A whole examination: the parts in order, several processes at a time."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from .environment import examine_versions
from .findings import TITLES, Finding, Report, Status
from .processes import run_files, run_probe
from .rules import PACKAGES

REQUIRED = ('opencv',)  # without which nothing works; a rule says so
# Probe -> what it is for, said where it is not installed, and how to install it.
OPTIONAL = {
    'torch': ('checkpoints, training and tests', '"torch>=2.6"'),
    'onnxruntime': ('running exported models', 'onnxruntime'),
    'openvino': ('running exported models on Intel and other CPUs', 'openvino'),
    'nncf': ('quantizing models while they are exported', 'nncf'),
    'tensorrt': ('exported models on NVIDIA GPUs', 'tensorrt'),
    'gradio': ('the web page, mixformerv2 demo', 'gradio'),
}
PROBES = (*REQUIRED, *OPTIONAL)


def examine(
    checkpoint: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    *,
    config: str | os.PathLike | None = None,
    benchmark: str | None = None,
    probes: Sequence[str] = PROBES,
) -> Report:
    """Examine the installation, and a checkpoint and a data set if they are given.

    Args:
        checkpoint: File of weights, folder of an exported model, or a name of the model zoo.
        data_root: Folder of a benchmark or of sequences.
        config: Config of the checkpoint; None looks for one that fits.
        benchmark: Which benchmark the folder should be, see :data:`.dataset.NAMES`; None looks.
        probes: Packages to try.
    """
    return Report(
        list(findings_of(checkpoint, data_root, config=config, benchmark=benchmark, probes=probes))
    )


def findings_of(
    checkpoint: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    *,
    config: str | os.PathLike | None = None,
    benchmark: str | None = None,
    probes: Sequence[str] = PROBES,
) -> Iterator[Finding]:
    """What :func:`examine` reports, section by section, as soon as it is known."""
    given = {'checkpoint': checkpoint, 'data_root': data_root, 'config': config}
    job = {name: value if value is None else os.fspath(value) for name, value in given.items()}
    with ThreadPoolExecutor(1) as pool:
        files = pool.submit(run_files, {**job, 'benchmark': benchmark})  # takes longest
        yield from examine_versions()
        for name in probes:
            yield from _try(name)
        sections = list(TITLES)
        yield from sorted(files.result(), key=lambda one: sections.index(one.section))


def examine_installation(probes: Sequence[str] = PROBES) -> Report:
    """Versions, rules, and a trial of each package; OpenMMLab is not tried."""
    return Report([*examine_versions(), *(one for name in probes for one in _try(name))])


def _try(name: str) -> list[Finding]:
    try:
        installed = importlib.util.find_spec(PACKAGES[name].module) is not None
    except (ImportError, ValueError):
        installed = False
    if installed:
        return run_probe(name)
    if name in REQUIRED:
        return []  # a rule has said so
    purpose, wanted = OPTIONAL[name]
    text = f'{name} is not installed: it is for {purpose}'
    facts = {name: {'works': False, 'installed': False}}
    return [Finding('backends', name, Status.NOTE, text, f'python -m pip install {wanted}', facts)]
