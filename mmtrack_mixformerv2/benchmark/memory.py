"""How much memory a training step needs, and its student and teacher by themselves."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from ..models.distillation import teacher_settings
from .step import (
    STUDENT,
    WITH_TEACHER,
    Training,
    build_teacher,
    has_teacher,
    random_batch,
    trainings,
    without_weights,
)

_MARK = 'benchmark: measured'


@dataclass(frozen=True)
class MemoryPeak:
    """Largest number of bytes that all tensors have at a time, in three situations.

    Weights, gradients, the state of the optimizer, normalised crops and activations are all in it.

    Attributes:
        student: A training step without the teacher.
        step: A training step with it, if there is one.
        teacher: A prediction of the teacher alone.
    """

    student: int
    step: int | None = None
    teacher: int | None = None

    @property
    def ratio(self) -> float | None:
        """The step with the teacher over student and teacher measured apart."""
        return self.step / (self.student + self.teacher) if self.step else None


def measure_memory(cfg: Config, batch_size: int, device: torch.device) -> MemoryPeak:
    """Peak of the memory of tensors in a training step, with random weights.

    On a GPU, that is what torch's allocator has handed out at most. On a CPU, the allocations that
    the profiler records are summed up; what libraries allocate for themselves is not in it.

    Args:
        cfg: A training config.
        batch_size: Samples per step.
        device: Where to train.
    """
    with trainings(cfg, batch_size) as settings:

        def training(name: str) -> int:
            return _peak(lambda: Training(**settings[name], device=device).step, device)

        student = training(STUDENT)
        if not has_teacher(cfg):
            return MemoryPeak(student)
        step = training(WITH_TEACHER)
    settings = without_weights(teacher_settings(cfg.model.teacher))
    count = cfg.train_dataloader.dataset.get('num_templates', 2)
    batch = random_batch(settings.backbone, batch_size, count)
    teacher = _peak(lambda: _prediction(build_teacher(settings, device), batch), device)
    return MemoryPeak(student, step, teacher)


def _prediction(model: nn.Module, batch: dict) -> Callable[[], object]:
    @torch.inference_mode()
    def predict() -> object:
        inputs = model.data_preprocessor(batch, training=True)['inputs']
        return model(inputs, mode='tensor')

    return predict


def _peak(build: Callable[[], Callable[[], object]], device: torch.device) -> int:
    """Bytes at the peak of the second call of what ``build`` gives.

    The first call brings what stays: gradients, the state of the optimizer, chosen kernels.
    """
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(device)
        run = build()
        run()
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    # Kineto says in several lines that it starts and stops.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run = build()
        run()
        with record_function(_MARK):
            run()
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        recorded.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    return _highest(events)


def _highest(events: list[dict]) -> int:
    """Bytes at the peak inside the marked part of a trace, above those at its beginning."""
    mark = next(event for event in events if event.get('name') == _MARK)
    total = highest = 0
    changes = [e for e in events if e.get('name') == '[memory]' and e['args']['Device Type'] == 0]
    for event in sorted(changes, key=lambda event: event['ts']):
        if event['ts'] > mark['ts'] + mark['dur']:
            break
        if event['ts'] >= mark['ts']:
            highest = max(highest, total)
        total += event['args']['Bytes']
    return max(highest, total)
