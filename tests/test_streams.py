"""Lock steps side by side: everything is tracked once, in order, and no thread is left behind."""

from __future__ import annotations

import threading
from collections import defaultdict

import numpy as np
import pytest
from test_lock_step import Batches, alone, clip, read, tracker

from mmtrack_mixformerv2.tracking.lock_step import LockStep
from mmtrack_mixformerv2.tracking.streams import THREAD_NAME, run_streams

LENGTHS = (9, 1, 14, 5, 11, 2, 3)


@pytest.fixture(scope='module')
def clips():
    return [clip(number, length) for number, length in enumerate(LENGTHS)]


def stream_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


@pytest.mark.parametrize('count', [1, 2, 3])
def test_every_sequence_is_tracked_once_and_in_order(clips, count):
    loop, prepared = tracker(Batches()), []
    steps = [LockStep(loop, read, 2) for _ in range(count)]
    boxes = defaultdict(list)
    prepare = lambda: prepared.append(threading.current_thread())  # noqa: E731
    for events in run_streams(steps, range(len(clips)), clips.__getitem__, prepare):
        for event in events:
            assert event.frame_index == len(boxes[event.sequence])
            boxes[event.sequence].append(event.box_xywh)
    for number, one in enumerate(clips):
        np.testing.assert_array_equal(boxes[number], alone(loop, one))
    assert len(set(prepared)) == (count if count > 1 else 0)
    assert not stream_threads()


@pytest.mark.parametrize('count', [1, 2])
def test_an_error_of_the_network_ends_all_streams(clips, count):
    class Broken(Batches):
        def predict_batch(self, search_crops, caches):
            raise MemoryError('too many sequences')

    steps = [LockStep(tracker(Broken()), read, 2) for _ in range(count)]
    with pytest.raises(MemoryError, match='too many sequences'):
        list(run_streams(steps, range(len(clips)), clips.__getitem__))
    assert not stream_threads()


def test_who_stops_listening_leaves_no_thread_behind(clips):
    steps = [LockStep(tracker(Batches()), read, 1) for _ in range(3)]
    events = run_streams(steps, range(len(clips)), clips.__getitem__)
    next(events)
    assert stream_threads()
    events.close()
    assert not stream_threads()
