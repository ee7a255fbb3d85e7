"""How fast a training could be: its data pipeline, its step, and the memory of both."""

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
from .step import StepSpeed, has_teacher, measure_steps, teacher_settings
from .timing import describe_machine

__all__ = [
    'LoaderSpeed',
    'MemoryPeak',
    'PipelineCost',
    'StepSpeed',
    'crop_settings',
    'describe_machine',
    'fill_data',
    'has_teacher',
    'measure_loaders',
    'measure_memory',
    'measure_pipelines',
    'measure_steps',
    'teacher_settings',
    'training_data',
]
