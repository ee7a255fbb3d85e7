"""What a frame costs in the tracking loop, part by part, for several networks side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from ...tracking import Prediction, SequenceTracker
from ..timing import Timing, take_turns, times, wall_per_sample
from .ceiling import MatrixProducts
from .clip import Clip

PARTS = ('crop', 'normalise', 'network', 'update')
WARM_UP = 4  # frames before the first turn: chosen kernels, compiled steps


class FrameTime(NamedTuple):
    """Seconds that one frame took.

    Attributes:
        decode: From the file to the frame.
        crop: From the frame to the search crop. On a GPU only until the work is queued.
        normalise: From uint8 to what the network reads; 0 where that is inside of the network.
        network: From there to the box and the score in host memory.
        update: The rest: box in the frame, refresh of the templates, encoding them.
    """

    decode: float
    crop: float
    normalise: float
    network: float
    update: float

    @property
    def latency(self) -> float:
        """From the decoded frame to the result."""
        return self.crop + self.normalise + self.network + self.update


class FrameRun:
    """A tracking loop on its way through a clip, again and again.

    The search region is cut around the annotated box, whatever the network found, so that random
    weights get the same crops as trained ones and all loops the same.

    Args:
        loop: The loop. If its predictor has ``normalise``, the time in it is told apart.
        clip: The video.
        frames: How many a turn takes.

    Attributes:
        turns: Times of the frames of each turn.
        found: Boxes ``(4,)`` that the network gave, in [0, 1] of the crop, in order of the frames.
    """

    def __init__(self, loop: SequenceTracker, clip: Clip, frames: int) -> None:
        self.loop, self.frames = loop, frames
        self.turns: list[list[FrameTime]] = []
        self.found: list[np.ndarray] = []
        self._normalising = 0.0
        self._clip = clip.frames()
        frame, self._box = next(self._clip)
        self._state = loop.init(frame, self._box)
        if hasattr(loop.predictor, 'normalise'):
            loop.predictor.normalise = self._timed(loop.predictor.normalise)
        for _ in range(WARM_UP):
            self.track()

    def __call__(self) -> Timing:
        """Track some frames.

        One more is tracked before them and not counted: what ran before may still spin in its
        threads, and has left its own data in the caches.
        """
        self.track()
        start = time.process_time()
        turn = [self.track() for _ in range(self.frames)]
        cpu = time.process_time() - start
        self.turns.append(turn)
        return Timing(len(turn), sum(frame.latency for frame in turn), cpu)

    def track(self) -> FrameTime:
        """Track the next frame, step by step as :meth:`SequenceTracker.track` does."""
        loop, state, clock = self.loop, self._state, time.perf_counter
        state.box_xywh, self._normalising = tuple(self._box.tolist()), 0.0
        begin = clock()
        frame, self._box = next(self._clip)
        decoded = clock()
        look = loop.look(frame, state)
        cropped = clock()
        found = loop.predictor.predict(look.crop, state.cache)
        predicted, normalising = clock(), self._normalising
        result = loop.follow(look, state, Prediction(*found))
        if result.template_updated:
            state.cache = loop.predictor.encode_templates(state.memory.templates)
        end = clock()
        self.found.append(np.asarray(found[0], np.float64))
        return FrameTime(
            decode=decoded - begin,
            crop=cropped - decoded,
            normalise=normalising,
            network=predicted - cropped - normalising,
            update=end - predicted,
        )

    def _timed(self, normalise: Callable) -> Callable:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = normalise(*arguments)
            self._normalising += time.perf_counter() - start
            return result

        return timed


@dataclass(frozen=True)
class FrameSpeed:
    """Frames of one loop, all turns together; times are in milliseconds and without decoding.

    Attributes:
        median: Latency of a frame.
        p95: 95 of 100 frames are faster.
        frames_per_second: One over the median.
        mean: Mean latency, the sum of ``parts``.
        parts: Means of each of ``PARTS``.
        decode: Mean time of decoding.
        network_share: Part of the latency that is the network, normalising included.
        network_speedup: How many times as fast as the reference the network is, normalising
            included; median over the turns, as all ratios. None without a reference.
        speedup: The same of the latency.
        gflops: Products and sums of the network per second of the network, in billions.
        ceiling_share: The same over the speed of large matrix products in the same turn; None if
            there are none to compare to.
        box_difference: Largest difference of an edge to the reference, in pixels of the crop, over
            the frames before the first refresh of the templates. None without a reference.
    """

    median: float
    p95: float
    frames_per_second: float
    mean: float
    parts: dict[str, float]
    decode: float
    network_share: float
    network_speedup: float | None
    speedup: float | None
    gflops: float
    ceiling_share: float | None
    box_difference: float | None


def measure_frames(
    runs: Mapping[str, FrameRun],
    multiply_adds: Mapping[str, int],
    products: Mapping[str, MatrixProducts | None],
    *,
    seconds: float,
    min_rounds: int = 3,
) -> tuple[dict[str, FrameSpeed], dict[str, list[Timing]]]:
    """Let loops and matrix products take turns.

    Args:
        runs: The loops by name; the first one is the reference.
        multiply_adds: Of each network, by the same names.
        products: What each is compared to, by the same names; several may share one.
        seconds: No round begins after that time.
        min_rounds: But at least so many.

    Returns:
        The speeds by name, and the turns of the products by their dtype.
    """
    ceilings = {p.dtype: p for p in products.values() if p is not None}
    turns = take_turns(
        {**runs, **{('products', dtype): p for dtype, p in ceilings.items()}}, seconds, min_rounds
    )
    ceiling_turns = {dtype: turns['products', dtype] for dtype in ceilings}
    reference = next(iter(runs.values()))
    speeds = {}
    for name, run in runs.items():
        ceiling = products[name]
        speeds[name] = summarize(
            run, reference, multiply_adds[name], ceiling and ceiling_turns[ceiling.dtype]
        )
    return speeds, ceiling_turns


def summarize(
    run: FrameRun,
    reference: FrameRun | None,
    multiply_adds: int,
    ceiling: list[Timing] | None = None,
) -> FrameSpeed:
    """What a loop took in its turns.

    Args:
        run: The loop; it has had a turn at least.
        reference: What it is compared to, on the same frames and in the same rounds, if anything.
        multiply_adds: Of its network for a frame.
        ceiling: Turns of large matrix products in the same rounds.
    """
    frames = [frame for turn in run.turns for frame in turn]
    latencies = [1000 * frame.latency for frame in frames]
    parts = {part: 1000 * fmean(getattr(frame, part) for frame in frames) for part in PARTS}
    networks = _networks(run)
    work = [Timing(one.samples * multiply_adds, one.wall, 0.0) for one in networks]
    return FrameSpeed(
        median=median(latencies),
        p95=float(np.percentile(latencies, 95)),
        frames_per_second=1000 / median(latencies),
        mean=fmean(latencies),
        parts=parts,
        decode=1000 * fmean(frame.decode for frame in frames),
        network_share=(parts['normalise'] + parts['network']) / fmean(latencies),
        network_speedup=times(_networks(reference), networks) if reference else None,
        speedup=times(_latencies(reference), _latencies(run)) if reference else None,
        gflops=2e-9 / wall_per_sample(work),
        ceiling_share=times(ceiling, work) if ceiling else None,
        box_difference=_difference(run, reference) if reference else None,
    )


def _difference(run: FrameRun, reference: FrameRun) -> float:
    compared = min(len(run.found), len(reference.found), run.loop.settings.update_interval)
    edges = np.abs(np.subtract(run.found[:compared], reference.found[:compared]))
    return float(edges.max()) * run.loop.predictor.search_size


def _networks(run: FrameRun) -> list[Timing]:
    return [
        Timing(len(turn), sum(frame.normalise + frame.network for frame in turn), 0.0)
        for turn in run.turns
    ]


def _latencies(run: FrameRun) -> list[Timing]:
    return [Timing(len(turn), sum(frame.latency for frame in turn), 0.0) for turn in run.turns]
