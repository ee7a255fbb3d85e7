"""What a policy's states are worth: said lost when the target was gone, and did it come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from ..evaluation.ope import OVERLAP_THRESHOLDS
from .runs import SequenceRun

MIN_HIDDEN = 8  # frames that the target is gone before this counts as an event
COME_BACK = 20  # frames in which a tracker is to be on the target again


class Hidden(NamedTuple):
    """Frames ``start`` to ``stop - 1`` show nothing of the target; those around them do."""

    start: int
    stop: int


def hidden_events(visible: np.ndarray, shortest: int = MIN_HIDDEN) -> list[Hidden]:
    """When a target is gone for a while.

    Args:
        visible: Bool ``(N,)``.
        shortest: Frames; shorter gaps are none.
    """
    change = np.flatnonzero(np.diff(np.concatenate([[True], visible, [True]]).astype(int)))
    pairs = change.reshape(-1, 2).tolist()
    return [Hidden(start, stop) for start, stop in pairs if stop - start >= shortest]


@dataclass(frozen=True)
class StateMeasures:
    """What a policy did; shares are NaN where there is nothing to take a share of.

    Attributes:
        sequences: Number of sequences.
        success: Area under the success curve over frames that show the target, in [0, 1]; mean
            over sequences.
        hidden_frames: Frames without the target in events.
        said_lost: Share of them in which the tracker said lost.
        events: How often the target was gone.
        events_lost: Share of the events in which the tracker said lost at least once.
        delay: Median number of frames from the first hidden one to the first lost one, over the
            events with one.
        visible_frames: Frames with the target, without the first ones.
        false_lost: Share of the frames in which the box was on the target, but the tracker said
            lost.
        visible_lost: Share of the frames with the target in which the tracker said lost, wherever
            its box was.
        returns: Events after which the target is in sight for at least `COME_BACK` frames.
        came_back: Share of these after which a box is on the target again, with an overlap of 0.5
            or more, within `COME_BACK` frames.
        came_back_tracked: The same, with the target said to be tracked in that frame.
        back_delay: Median number of frames from the first visible one to that, over those.
        updates: Updates of templates.
        wrong_updates: Those that put in a template cut from a frame in which the box was not on
            the target.
    """

    sequences: int
    success: float
    hidden_frames: int
    said_lost: float
    events: int
    events_lost: float
    delay: float
    visible_frames: int
    false_lost: float
    visible_lost: float
    returns: int
    came_back: float
    came_back_tracked: float
    back_delay: float
    updates: int
    wrong_updates: int

    def as_dict(self) -> dict[str, float | None]:
        """Plain numbers for JSON, which knows no NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def measure_states(runs: Sequence[SequenceRun]) -> StateMeasures:
    """Compare states with the annotation.

    Args:
        runs: Of one tracker, with or without a policy.

    Raises:
        ValueError: If there are none.
    """
    if not runs:
        raise ValueError('there is no sequence to measure on.')
    events = [(run, event) for run in runs for event in hidden_events(run.visible)]
    lost_within = [run.lost[event.start : event.stop] for run, event in events]
    delays = [int(np.argmax(lost)) for lost in lost_within if lost.any()]
    hidden = np.concatenate([*lost_within, np.zeros(0, bool)])
    right = np.concatenate([run.right[1:] for run in runs])
    visible = np.concatenate([run.visible[1:] for run in runs])
    lost = np.concatenate([run.lost[1:] for run in runs])
    after = [
        (run, np.s_[event.stop : event.stop + COME_BACK])
        for run, event in events
        if run.visible[event.stop : event.stop + COME_BACK].sum() == COME_BACK
    ]
    back = [run.right[frames] for run, frames in after]
    tracked = [run.right[frames] & ~run.lost[frames] for run, frames in after]
    updates = [run.right[run.updates[:, 1]] for run in runs]
    return StateMeasures(
        sequences=len(runs),
        success=float(np.mean([_success(run) for run in runs])),
        hidden_frames=len(hidden),
        said_lost=_share(hidden),
        events=len(events),
        events_lost=_share([lost.any() for lost in lost_within]),
        delay=float(np.median(delays)) if delays else float('nan'),
        visible_frames=int(visible.sum()),
        false_lost=_share(lost[right]),
        visible_lost=_share(lost[visible]),
        returns=len(after),
        came_back=_share([one.any() for one in back]),
        came_back_tracked=_share([one.any() for one in tracked]),
        back_delay=float(np.median([np.argmax(one) for one in back if one.any()] or [np.nan])),
        updates=sum(map(len, updates)),
        wrong_updates=int(sum((~one).sum() for one in updates)),
    )


def _success(run: SequenceRun) -> float:
    return float((run.iou[run.visible][:, None] > OVERLAP_THRESHOLDS).mean())


def _share(flags: Sequence[bool] | np.ndarray) -> float:
    return float(np.mean(flags)) if len(flags) else float('nan')
