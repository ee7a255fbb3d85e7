"""What a tracker did on whole sequences: made frame by frame, kept so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ..files import PARTIAL, replace_file
from ..tracking import TrackResult
from ..tracking.lock_step import Failure, LockStep, Tracked
from ..tracking.streams import run_streams
from .sequences import Sequence, SequenceTable

_IDENTITY = 'run.json'
_COLUMNS = 'x,y,width,height,score,seconds'


@dataclass(frozen=True)
class Track:
    """What a tracker did on a sequence of N frames.

    Attributes:
        boxes_xywh: x, y, width, height in pixels, float64 of shape ``(N, 4)``.
        scores: In [0, 1], NaN where there is none, of shape ``(N,)``.
        seconds: Time of each frame, of shape ``(N,)``.
        frame_size: Height and width of the frames in pixels.
    """

    boxes_xywh: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    frame_size: tuple[int, int]

    @classmethod
    def join(cls, frames: Iterable[Tracked]) -> Track:
        """Of all frames of a sequence, in order."""
        frames = list(frames)
        return cls(
            np.stack([frame.box_xywh for frame in frames]),
            np.array([np.nan if frame.score is None else frame.score for frame in frames]),
            np.array([frame.seconds for frame in frames]),
            frames[0].frame_size,
        )

    def frames(self, sequence: int) -> Iterator[Tracked]:
        """The frames, given the number of the sequence."""
        for index, (box, score, seconds) in enumerate(
            zip(self.boxes_xywh, self.scores.tolist(), self.seconds.tolist())
        ):
            score = None if np.isnan(score) else score
            result = TrackResult(box, score, template_updated=False)
            yield Tracked(sequence, index, self.frame_size, result, seconds)


@dataclass(frozen=True)
class Finished:
    """A sequence that was tracked to its end.

    Attributes:
        index: Number of the sequence.
        sequence: With its annotation.
        track: All its frames.
    """

    index: int
    sequence: Sequence
    track: Track


def track_sequences(
    lock_steps: SequenceOf[LockStep],
    table: SequenceTable,
    indices: Iterable[int],
    prepare: Callable[[], None],
) -> Iterator[tuple[Sequence | None, Tracked | Failure] | Finished]:
    """Track sequences of a data set.

    Args:
        lock_steps: As many as :func:`~.tracking.streams.run_streams` is to run side by side.
        table: The sequences.
        indices: Which of them.
        prepare: As for that function.

    Yields:
        Every frame and every failure with its sequence (None if it could not be read), and every
        finished sequence after its last frame.
    """
    running: dict[int, Sequence] = {}
    frames: dict[int, list[Tracked]] = {}

    def load(index: int) -> Sequence:
        running[index] = table[index]
        return running[index]

    for events in run_streams(lock_steps, indices, load, prepare):
        for event in events:
            index = event.sequence
            sequence = running.get(index)
            yield sequence, event
            if isinstance(event, Failure):
                running.pop(index, None)
                frames.pop(index, None)
                continue
            # Edge distributions are some kB each, and nothing reads them of a whole sequence.
            kept = replace(event, result=event.result._replace(edges=None))
            frames.setdefault(index, []).append(kept)
            if len(frames[index]) == len(sequence):
                yield Finished(index, running.pop(index), Track.join(frames.pop(index)))


class TrackStore:
    """A folder with one CSV file for each finished sequence, and a note on whose they are.

    Args:
        folder: Created by :meth:`open`.
        identity: What the tracks depend on, such as a hash of the weights.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, str]) -> None:
        self.folder, self.identity = Path(folder), dict(identity)

    def open(self, restart: bool = False) -> None:
        """Prepare the folder.

        Args:
            restart: Forget what an earlier run finished.

        Raises:
            ValueError: If the folder holds the tracks of another run, or files of other origin.
        """
        note = self.folder / _IDENTITY
        if note.is_file():
            if restart:
                for path in self.folder.glob('*.csv'):
                    path.unlink()
            else:
                self._compare(note)
        elif self.folder.is_dir() and {path.name for path in self.folder.iterdir()} - {
            _IDENTITY + PARTIAL  # of a run that was killed at once
        }:
            raise ValueError(
                f'{self.folder} has files but no {_IDENTITY}, so no evaluation made it; move it '
                'away, or use another --work-dir'
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(note, (json.dumps(self.identity, indent=2) + '\n').encode())

    def _compare(self, note: Path) -> None:
        try:
            there = json.loads(note.read_text())
        except ValueError as error:
            raise ValueError(f'{note} cannot be read ({error}); use --restart') from error
        names = sorted(
            name for name in {*there, *self.identity} if there.get(name) != self.identity.get(name)
        )
        if names:
            differences = ', '.join(
                f'{name} ({there.get(name)} there, {self.identity.get(name)} here)'
                for name in names
            )
            raise ValueError(
                f'{self.folder} holds the tracks of another run, which differs in {differences}; '
                'use another --work-dir, or --restart to throw those tracks away'
            )

    def has(self, name: str) -> bool:
        """Whether there is a track of a sequence of this name."""
        return self._path(name).is_file()

    def read(self, sequence: Sequence) -> Track | None:
        """The track of a sequence, or None without a sound one of its frames and first box."""
        if not self.has(sequence.name):
            return None
        text = self._path(sequence.name).read_text()
        try:
            height, width = (int(word) for word in text.split('\n', 1)[0].lstrip('# ').split('x'))
            rows = np.loadtxt(StringIO(text), delimiter=',', ndmin=2, skiprows=2)
        except ValueError:  # not as it was written
            return None
        boxes = rows[:, :4]
        if rows.shape != (len(sequence), 6) or not np.array_equal(boxes[0], sequence.boxes_xywh[0]):
            return None
        return Track(boxes, rows[:, 4], rows[:, 5], (height, width))

    def write(self, name: str, track: Track) -> None:
        """Keep a track; the file is there whole or not at all."""
        text = StringIO()
        rows = np.column_stack([track.boxes_xywh, track.scores, track.seconds])
        title = f'{track.frame_size[0]}x{track.frame_size[1]}\n{_COLUMNS}'
        np.savetxt(text, rows, fmt='%.17g', delimiter=',', header=title)
        replace_file(self._path(name), text.getvalue().encode())

    def _path(self, name: str) -> Path:
        return self.folder / f'{quote(name, safe="")}.csv'
