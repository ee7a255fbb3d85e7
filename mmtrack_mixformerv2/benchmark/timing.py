"""Measures things side by side, so that what else the machine does hits them alike."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch


class Timing(NamedTuple):
    """What some samples took.

    Attributes:
        samples: How many.
        wall: Seconds on the clock.
        cpu: Seconds of CPU time of this process, all threads together.
    """

    samples: int
    wall: float
    cpu: float


class Stopwatch:
    """Takes the wall and CPU time since it was made.

    Args:
        device: What is still queued on a GPU is waited for, at both ends.
    """

    def __init__(self, device: torch.device | str = 'cpu') -> None:
        self._device = torch.device(device)
        self._wait()
        self._start = time.perf_counter(), time.process_time()

    def stop(self, samples: int) -> Timing:
        """The time that ``samples`` samples took."""
        self._wait()
        wall, cpu = self._start
        return Timing(samples, time.perf_counter() - wall, time.process_time() - cpu)

    def _wait(self) -> None:
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)


def take_turns(
    runs: Mapping[str, Callable[[], Timing]], seconds: float, min_rounds: int = 3
) -> dict[str, list[Timing]]:
    """Call every function once per round, in reverse order in every other round.

    Args:
        runs: Each does a few samples and says what they took.
        seconds: No round begins after that time.
        min_rounds: But at least so many.

    Returns:
        What each function returned, in order of the rounds.
    """
    timings = {name: [] for name in runs}
    start, rounds = time.perf_counter(), 0
    while rounds < min_rounds or time.perf_counter() - start < seconds:
        for name in list(runs)[:: -1 if rounds % 2 else 1]:
            timings[name].append(runs[name]())
        rounds += 1
    return timings


def wall_per_sample(timings: list[Timing]) -> float:
    """Median over the rounds, in seconds."""
    return median(t.wall / t.samples for t in timings)


def cpu_per_sample(timings: list[Timing]) -> float:
    """Median over the rounds, in seconds."""
    return median(t.cpu / t.samples for t in timings)


def times(timings: list[Timing], others: list[Timing]) -> float:
    """How many times as long as the others' a sample takes; median over the rounds."""
    return median(
        (one.wall / one.samples) / (other.wall / other.samples)
        for one, other in zip(timings, others)
    )


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def describe_machine(device: torch.device | str = 'cpu') -> str:
    """One line about the machine, the load on it, and torch."""
    parts = [_cpu_name(), f'{available_cores()} cores', f'load {os.getloadavg()[0]:.1f}']
    if torch.device(device).type == 'cuda':
        parts.append(torch.cuda.get_device_name(device))
    return ', '.join([*parts, f'torch {torch.__version__}', f'{torch.get_num_threads()} threads'])


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()
