"""Several lock steps side by side, each in a thread of its own.

On a CPU, two batches of half the size on one core each are faster than one batch whose every
operation is divided between two cores: nobody waits for the other's half. On a GPU, one batch is
cropped and drawn conclusions from while the other is computed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, Queue

from .lock_step import Failure, LockStep, Tracked, Video

THREAD_NAME = 'lock step'
_END = object()


def run_streams(
    lock_steps: Sequence[LockStep],
    sequences: Iterable[int],
    load: Callable[[int], Video],
    prepare: Callable[[], None] = lambda: None,
) -> Iterator[list[Tracked | Failure]]:
    """Track sequences, each by whichever lock step is free first.

    Args:
        lock_steps: One for each thread; a single one runs in the calling thread.
        sequences: Their numbers.
        load: Opens a sequence; called by one thread at a time.
        prepare: Called once in each thread.

    Yields:
        What a step of one of them brought; frames of a sequence come in order.

    Raises:
        Exception: Whatever a thread raises, after the others have ended their step.
    """
    if len(lock_steps) == 1:
        yield from lock_steps[0].run(sequences, load)
        return
    shared, lock = iter(sequences), threading.Lock()
    stop, events = threading.Event(), Queue(maxsize=2 * len(lock_steps))

    def next_sequences() -> Iterator[int]:
        while not stop.is_set():
            with lock:
                sequence = next(shared, None)
            if sequence is None:
                return
            yield sequence

    def load_one(sequence: int) -> Video:
        with lock:
            return load(sequence)

    def work(lock_step: LockStep) -> None:
        end: object = _END
        try:
            prepare()
            for step in lock_step.run(next_sequences(), load_one):
                if stop.is_set():
                    break
                events.put(step)
        except BaseException as error:  # raised again in the thread that asked
            end = error
        events.put(end)

    threads = [
        threading.Thread(target=work, args=(one,), name=THREAD_NAME, daemon=True)
        for one in lock_steps
    ]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            if event is _END:
                running -= 1
            else:
                yield event
    finally:
        stop.set()
        for thread in threads:
            while thread.is_alive():
                with suppress(Empty):  # a thread may wait for room
                    events.get_nowait()
                thread.join(0.01)
