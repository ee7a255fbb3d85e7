"""How fast trainings, evaluations and runtimes are: data, steps, test loops, frames, memory."""

from .memory import MemoryPeak, measure_memory
from .pipeline import (
    LoaderSpeed,
    PipelineCost,
    fill_data,
    measure_loaders,
    measure_pipelines,
    training_data,
)
from .stark import crop_settings
from .step import StepSpeed, has_teacher, measure_steps
from .timing import available_cores, describe_machine

__all__ = [
    'LoaderSpeed',
    'MemoryPeak',
    'PipelineCost',
    'StepSpeed',
    'available_cores',
    'crop_settings',
    'describe_machine',
    'fill_data',
    'has_teacher',
    'measure_loaders',
    'measure_memory',
    'measure_pipelines',
    'measure_steps',
    'training_data',
]
