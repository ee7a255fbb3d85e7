"""What a frame asks of a GPU: launches, and the time that it is busy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

# Calls of the CUDA runtime and driver that start work, a whole graph counted as one.
_LAUNCHES = ('cudaLaunchKernel', 'cuLaunchKernel', 'cudaGraphLaunch', 'cuGraphLaunch')


@dataclass(frozen=True)
class GpuUse:
    """Of one frame.

    Attributes:
        launches: Kernels and graphs that the host starts.
        kernels: Kernels and copies that run on the GPU.
        busy: Milliseconds in which they run.
    """

    launches: float
    kernels: float
    busy: float


def measure_gpu_use(track: Callable[[], object], frames: int = 20) -> GpuUse:
    """Record what frames do on the GPU, by torch's profiler, which sees other runtimes as well.

    Args:
        track: Tracks a frame.
        frames: How many to record.

    Raises:
        RuntimeError: If there is no GPU.
    """
    if not torch.cuda.is_available():
        raise RuntimeError('torch finds no GPU, whose use could be measured')
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        for _ in range(frames):
            track()
        torch.cuda.synchronize()
    events = recorded.events()
    on_gpu = [event for event in events if event.device_type == DeviceType.CUDA]
    launches = [event for event in events if event.name.startswith(_LAUNCHES)]
    busy = sum(event.time_range.elapsed_us() for event in on_gpu)
    return GpuUse(len(launches) / frames, len(on_gpu) / frames, busy / frames / 1000)
