"""How fast a tracker runs on every backend: frames, curves and memory, measured in one go."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import torch
from mmengine.config import Config
from torch import nn

from ...deployment.backends import build_predictor
from ...published import publish
from ...runtime import open_predictor
from ...tracking import SequenceTracker, TrackingSettings
from ...tracking.predictor import can_batch
from ..timing import describe_machine, wall_per_sample
from .ceiling import find_ceiling
from .clip import Clip
from .contenders import (
    PACKAGES,
    PUBLISHED,
    Contender,
    EncodedEveryFrame,
    build_model,
    count_work,
)
from .curves import batch_throughput, targets_curve, templates_curve
from .exports import export_models
from .frame_speed import FrameRun, measure_frames
from .gpu_use import measure_gpu_use
from .process_memory import peak_growth


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long.

    Attributes:
        seconds: Of the frames, and of each of the curves.
        rounds: At least so many.
        frames: Of a turn.
        threads: Of the CPU, for all backends alike.
        targets: Numbers of targets to measure; none leaves the curve out, as below.
        templates: Numbers of templates, the static one included.
        batches: Numbers of crops in a batch.
        memory: Whether to measure memory, with a process for each contender.
    """

    seconds: float = 60.0
    rounds: int = 5
    frames: int = 3
    threads: int = field(default_factory=torch.get_num_threads)
    targets: Sequence[int] = ()
    templates: Sequence[int] = ()
    batches: Sequence[int] = ()
    memory: bool = True


def measure(
    cfg: Config,
    checkpoint: str | None,
    contenders: Sequence[Contender],
    clip: Clip,
    plan: Plan,
    exported: Mapping[tuple[str, str], Path] | None = None,
) -> dict:
    """Measure all contenders side by side.

    Args:
        cfg: A test config.
        checkpoint: Weights; None for random ones, which are as fast.
        contenders: The published forward is the first one.
        clip: What is tracked.
        plan: How to go about it.
        exported: Folders of exported models by backend and dtype; what is not there is exported
            for the time of the measurement.

    Returns:
        Plain values for JSON: ``machine`` and other circumstances, ``ceiling`` (billions of
        products and sums per second by dtype), ``rows`` (a :class:`~.frame_speed.FrameSpeed` each,
        with the contender, its ``multiply_adds`` per frame, ``memory`` in bytes and, on a GPU,
        ``gpu``), and the curves that were asked for.

    Raises:
        BackendNotInstalled: If a package is missing.
        ExportedModelError: If an exported model is not of these weights.
        ValueError: If the config or the checkpoint cannot be used.
    """
    use_threads(plan.threads)
    with TemporaryDirectory() as folder:
        model = build_model(cfg, checkpoint)
        folders = export_models(model, contenders, Path(folder), exported or {}, clip)
        settings = model.loop.settings
        results = _measure_loops(model, folders, clip, plan)
        del model  # the processes are to have all the memory that there is
        if plan.memory:
            for row, (contender, exported_to) in zip(results['rows'], folders.items()):
                arguments = (cfg, checkpoint, contender, exported_to, clip, plan.threads, settings)
                row['memory'] = peak_growth(
                    start_tracking, *arguments, imports=PACKAGES[contender.backend]
                )
    return results


def _measure_loops(
    model: nn.Module, folders: Mapping[Contender, Path | None], clip: Clip, plan: Plan
) -> dict:
    """Everything but the memory."""
    device = model.data_preprocessor.mean.device
    loops = {c: open_loop(model, c, folder, plan.threads) for c, folder in folders.items()}
    work = {c: count_work(model, c) for c in loops}
    ceilings = {d: find_ceiling(d, device) for d in dict.fromkeys(c.dtype for c in loops)}
    runs = {c: FrameRun(loop, clip, plan.frames) for c, loop in loops.items()}
    products = {c: ceilings[c.dtype] for c in loops}
    speeds, ceiling_turns = measure_frames(
        runs, work, products, seconds=plan.seconds, min_rounds=plan.rounds
    )
    rows = []
    for contender, speed in speeds.items():
        row = {'name': str(contender), **asdict(contender), **asdict(speed)}
        row.update(multiply_adds=work[contender], memory=None)
        if device.type == 'cuda':
            row['gpu'] = asdict(measure_gpu_use(runs[contender].track))
        rows.append(row)
    return {
        'machine': describe(device, loops),
        'threads': plan.threads,
        'frame_size': list(clip.size),
        'num_templates': 1 + model.loop.settings.num_online_templates,
        'ceiling': {d: 2e-9 / wall_per_sample(turns) for d, turns in ceiling_turns.items()},
        'rows': rows,
        **_curves({str(contender): loop for contender, loop in loops.items()}, clip, plan),
    }


def open_loop(
    model: nn.Module, contender: Contender, folder: Path | None, threads: int
) -> SequenceTracker:
    """The tracking loop of a contender, on the weights of a model."""
    if contender == PUBLISHED:
        predictor = publish(model)
    else:
        predictor = build_predictor(
            model,
            backend=contender.backend,
            dtype=contender.dtype,
            compile=contender.compile,
            exported=folder,
            num_threads=0 if contender.backend == 'torch' else threads,
        )
        if not contender.cached:
            predictor = EncodedEveryFrame(predictor)
    return SequenceTracker(predictor, model.loop.settings)


def start_tracking(
    cfg: Config,
    checkpoint: str | None,
    contender: Contender,
    folder: Path | None,
    clip: Clip,
    threads: int,
    settings: TrackingSettings,
) -> Callable[[], object]:
    """A function that tracks the next frame of a clip; an exported model needs no other."""
    use_threads(threads)
    if folder is None:
        loop = open_loop(build_model(cfg, checkpoint), contender, None, threads)
    else:
        on_gpu = contender.backend == 'onnxruntime' and torch.cuda.is_available()
        predictor = open_predictor(
            folder,
            backend=contender.backend,
            dtype=contender.dtype,
            num_threads=threads,
            device='cuda' if on_gpu else 'cpu',
        )
        loop = SequenceTracker(
            predictor if contender.cached else EncodedEveryFrame(predictor), settings
        )
    return FrameRun(loop, clip, 1).track


def use_threads(count: int) -> None:
    """Let torch and OpenCV use so many threads."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def _curves(loops: Mapping[str, SequenceTracker], clip: Clip, plan: Plan) -> dict[str, dict]:
    batchable = {name: loop for name, loop in loops.items() if can_batch(loop.predictor)}
    curves = {}
    if plan.targets:
        curves['targets'] = targets_curve(loops, plan.targets, clip, plan.seconds)
    if plan.templates:
        curves['templates'] = templates_curve(loops, plan.templates, clip, plan.seconds)
    if plan.batches and batchable:
        curves['batches'] = batch_throughput(batchable, plan.batches, clip, plan.seconds)
    return curves


def describe(device: torch.device, contenders: Iterable[Contender]) -> str:
    """The machine, and the versions of what runs the contenders."""
    packages = dict.fromkeys(name for c in contenders for name in PACKAGES[c.backend])
    versions = [f'{name} {_version(name)}' for name in packages]
    return ', '.join([describe_machine(device), *versions])


def _version(package: str) -> str:
    return importlib.import_module(package).__version__.split('-')[0]  # what follows is the build
