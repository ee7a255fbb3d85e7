"""How the cost of a frame grows: with targets in one forward, templates, and frames in a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...tracking import SequenceTracker
from ..timing import Stopwatch, Timing, take_turns, wall_per_sample
from .clip import Clip

Curve = dict[int, float]


def targets_curve(
    loops: Mapping[str, SequenceTracker], counts: Sequence[int], clip: Clip, seconds: float
) -> dict[str, Curve]:
    """Milliseconds of a frame in which several targets share one forward.

    Args:
        loops: By name.
        counts: Numbers of targets.
        clip: Its first frame is tracked again and again.
        seconds: How long to measure all of it.
    """
    frame, box = next(clip.frames())

    def run(loop: SequenceTracker, count: int) -> Callable[[], None]:
        boxes = [tuple(box.tolist())] * count  # all alike: only their number is to matter
        states = loop.init_targets(frame, boxes)

        def track() -> None:
            for state in states:
                state.box_xywh = boxes[0]  # whatever was found
            loop.track_targets(frame, states)

        return track

    return _measure(
        {(name, count): run(loop, count) for name, loop in loops.items() for count in counts},
        seconds,
    )


def templates_curve(
    loops: Mapping[str, SequenceTracker], counts: Sequence[int], clip: Clip, seconds: float
) -> dict[str, Curve]:
    """Milliseconds of the network for a frame, with several templates.

    Args:
        loops: By name.
        counts: Numbers of templates, the static one included.
        clip: Its first frame is used.
        seconds: How long to measure all of it.
    """
    frame, box = next(clip.frames())

    def run(loop: SequenceTracker, count: int) -> Callable[[], None]:
        # As many as there are after some updates; a sequence begins with two at most.
        state = loop.begin(frame, box)
        cache = loop.predictor.encode_templates([state.memory.static] * count)
        crop = loop.look(frame, state).crop
        return lambda: loop.predictor.predict(crop, cache)

    return _measure(
        {(name, count): run(loop, count) for name, loop in loops.items() for count in counts},
        seconds,
    )


def batch_throughput(
    loops: Mapping[str, SequenceTracker], batches: Sequence[int], clip: Clip, seconds: float
) -> dict[str, Curve]:
    """Search crops per second that the network does in batches, one template cache for each crop.

    Args:
        loops: By name, each with a :class:`~...tracking.BatchPredictor`.
        batches: Crops in a batch.
        clip: Its first frame is used.
        seconds: How long to measure all of it.
    """
    frame, box = next(clip.frames())

    def run(loop: SequenceTracker, count: int) -> Callable[[], None]:
        states = loop.init_targets(frame, [box] * count)
        crops = [look.crop for look in loop.look_targets(frame, states)]
        caches = [state.cache for state in states]
        return lambda: loop.predictor.predict_batch(crops, caches)

    runs = {(name, count): run(loop, count) for name, loop in loops.items() for count in batches}
    return {
        name: {count: 1000 * count / ms for count, ms in curve.items()}
        for name, curve in _measure(runs, seconds).items()
    }


def _measure(
    runs: Mapping[tuple[str, int], Callable[[], None]], seconds: float
) -> dict[str, Curve]:
    """Milliseconds of each function, in turns."""
    for run in runs.values():
        run()  # warm up
    turns = take_turns({key: _timed(run) for key, run in runs.items()}, seconds)
    curves: dict[str, Curve] = {}
    for (name, count), timings in turns.items():
        curves.setdefault(name, {})[count] = 1000 * wall_per_sample(timings)
    return curves


def _timed(run: Callable[[], None]) -> Callable[[], Timing]:
    def timed() -> Timing:
        run()  # not counted: what ran before has left its own data in the caches
        watch = Stopwatch()
        run()
        return watch.stop(1)

    return timed
