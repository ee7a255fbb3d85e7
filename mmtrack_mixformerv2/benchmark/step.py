"""What a training step costs, with and without its teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample
from torch import nn

from ..engine.collate import stack_crops
from ..models.distillation import teacher_settings
from .timing import Stopwatch, Timing, cpu_per_sample, take_turns, times, wall_per_sample

WITH_TEACHER, STUDENT = 'with the teacher', 'without a teacher'
_OF_THE_TEACHER = ('teacher', 'teacher_checkpoint', 'layer_pairs', 'distill_losses')


@dataclass(frozen=True)
class StepSpeed:
    """Speed of a training step; medians over the rounds.

    Attributes:
        samples_per_second: By the clock.
        cpu: CPU milliseconds per sample, all threads together.
        times: How many times as long as without a teacher, by the clock, in the same round.
    """

    samples_per_second: float
    cpu: float
    times: float


class Training:
    """A model with its optimizer, and a batch of random crops to train on.

    Args:
        settings: Of the model.
        optim_wrapper: Of the optimizer, as in a training config.
        batch: See :func:`random_batch`.
        device: Where the model is.
    """

    def __init__(
        self, settings: ConfigDict, optim_wrapper: ConfigDict, batch: dict, device: torch.device
    ) -> None:
        self.model = MODELS.build(settings).to(device).train()
        self.optimizer = build_optim_wrapper(self.model, deepcopy(optim_wrapper))
        self.batch, self.device = batch, device

    def step(self) -> None:
        """Forward, losses, backward, optimizer."""
        self.model.train_step(self.batch, self.optimizer)

    def run(self) -> Timing:
        """Steps of at least 0.2 seconds together, so that a look at the clock costs nothing."""
        watch, count = Stopwatch(self.device), 0
        while True:
            self.step()
            count += 1
            timing = watch.stop(count * len(self.batch['data_samples']))
            if timing.wall > 0.2:
                return timing


def has_teacher(cfg: Config) -> bool:
    """Whether the model of a config is trained by a teacher."""
    return cfg.model.get('teacher') is not None


def measure_steps(
    cfg: Config, batch_size: int, seconds: float, device: torch.device
) -> dict[str, StepSpeed]:
    """Speed of the training step, with the teacher (if there is one) and without, in turns.

    Args:
        cfg: A training config. Weights are random, whatever it names; the layers that a
            ``DepthPruningHook`` would remove are all there.
        batch_size: Samples per step.
        seconds: How long to measure.
        device: Where to train.
    """
    with trainings(cfg, batch_size) as settings:
        runs = {}
        for name in settings:
            training = Training(**settings[name], device=device)
            training.step()  # warm up: the optimizer's state, the kernels
            runs[name] = training.run
        timings = take_turns(runs, seconds)
    plain = timings[STUDENT]
    return {
        name: StepSpeed(
            1 / wall_per_sample(rounds),
            1000 * cpu_per_sample(rounds),
            times(rounds, plain),
        )
        for name, rounds in timings.items()
    }


@contextmanager
def trainings(cfg: Config, batch_size: int) -> Iterator[dict[str, dict[str, Any]]]:
    """Arguments of :class:`Training` with and without the teacher; its weights are in a file.

    Inside the block, the file with the random weights of the teacher exists.
    """
    model = without_weights(cfg.model)
    num_templates = cfg.train_dataloader.dataset.get('num_templates', 2)
    batch = random_batch(model.backbone, batch_size, num_templates)
    with TemporaryDirectory() as folder:
        settings = {}
        if has_teacher(cfg):
            model.teacher_checkpoint = str(Path(folder) / 'teacher.pth')
            model.teacher = without_weights(teacher_settings(cfg.model.teacher))
            torch.save(MODELS.build(model.teacher).state_dict(), model.teacher_checkpoint)
            settings[WITH_TEACHER] = model
        settings[STUDENT] = without_teacher(model)
        yield {
            name: dict(settings=model, optim_wrapper=cfg.optim_wrapper, batch=batch)
            for name, model in settings.items()
        }


def without_teacher(model: Mapping) -> ConfigDict:
    """Settings of the same student as a plain tracker."""
    kept = {name: value for name, value in model.items() if name not in _OF_THE_TEACHER}
    return ConfigDict(deepcopy({**kept, 'type': 'TemplateSearchTracker'}))


def without_weights(settings: Any) -> Any:
    """A copy of settings in which nothing is read from a checkpoint."""
    if isinstance(settings, Mapping):
        kept = {name: without_weights(value) for name, value in settings.items()}
        init = kept.get('init_cfg')
        if isinstance(init, Mapping) and init.get('type') == 'Pretrained':
            del kept['init_cfg']
        return ConfigDict(kept)
    if isinstance(settings, (list, tuple)):
        return type(settings)(without_weights(value) for value in settings)
    return settings


def random_batch(backbone: Mapping, batch_size: int, num_templates: int) -> dict:
    """What the data loader would give: uint8 crops of noise, boxes, and labels for the scores.

    Args:
        backbone: Settings that name ``search_size`` and ``template_size``.
        batch_size: Number of samples, N.
        num_templates: T.

    Returns:
        ``inputs`` with ``img`` ``(N, T, 3, h, w)`` and ``search_img`` ``(N, 1, 3, H, W)``, and N
        ``data_samples``.
    """
    generator = torch.Generator().manual_seed(0)
    size = backbone.search_size

    def crops(count: int, side: int) -> torch.Tensor:
        shape = (count, 3, side, side)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    samples = []
    for index in range(batch_size):
        corners = size * torch.rand(2, 2, generator=generator).sort(dim=0).values
        sample = TrackDataSample()
        sample.search_gt_instances = InstanceData(
            bboxes=corners.view(1, 4), labels=torch.tensor([index % 2])
        )
        inputs = dict(img=crops(num_templates, backbone.template_size), search_img=crops(1, size))
        samples.append(dict(inputs=inputs, data_samples=sample))
    return stack_crops(samples)


def build_teacher(settings: ConfigDict, device: torch.device) -> nn.Module:
    """The teacher by itself, in evaluation mode."""
    return MODELS.build(settings).requires_grad_(False).to(device).eval()
