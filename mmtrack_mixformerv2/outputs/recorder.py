"""All that is written while targets are tracked: boxes, a table, JSON and a video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import check_folder
from ..tracking.sequence_tracker import TrackResult
from ..tracking.track_log import TrackLog
from ..video import VideoFile
from .overlay import Overlay
from .track_files import FORMATS, RowFiles, TrackRun, name_files, write_json


class Recorder:
    """Writes what a tracker finds, frame by frame, into one folder.

    Rows are on the disk after each frame. :meth:`finish` completes the video and writes JSON; it
    can be called however the tracking ended. Nothing is made before the first frame.

    Args:
        folder: Made if need be.
        name: Of the files: ``NAME.txt`` (``NAME_1.txt`` and so on of several targets),
            ``NAME.csv``, ``NAME.json``, ``NAME_tracked.mp4``.
        targets: How many there are.
        formats: Of ``'txt'``, ``'csv'``, ``'json'``.
        video: Whether to write one.
        rate: Of the video, frames per second.
        edges: Whether edge distributions go to the JSON file.
        force: Whether files that exist are replaced.
        text: Stands in the pictures.

    Attributes:
        logs: A :class:`~.tracking.track_log.TrackLog` for each target.
        written: Files that are there; those of rows from the first frame on.

    Raises:
        FileExistsError: If a file exists and ``force`` is False.
        OSError: If the folder cannot be written to.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        name: str,
        targets: int,
        *,
        formats: Sequence[str] = FORMATS,
        video: bool = True,
        rate: float = 25.0,
        edges: bool = False,
        force: bool = False,
        text: str = '',
    ) -> None:
        self.files = name_files(folder, name, targets, formats)
        self.logs = [TrackLog(f'target {number + 1}') for number in range(targets)]
        self.written: list[Path] = []
        self.edges, self.force = edges, force
        self.overlay = Overlay(targets, text)
        self.video = VideoFile(Path(folder) / f'{name}_tracked', rate) if video else None
        self._rows: RowFiles | None = None
        if not force:
            self._check_free()
        if self.files or video:
            check_folder(folder)

    def add(
        self, frame: np.ndarray, results: Sequence[TrackResult], *, draw: bool = False
    ) -> np.ndarray | None:
        """Record one frame.

        Args:
            frame: uint8 BGR.
            results: One for each target.
            draw: Whether a picture is wanted even if no video is written.

        Returns:
            The frame with what was found in it, if there is a use for it.

        Raises:
            OSError: If something cannot be written.
        """
        if self._rows is None:
            self._rows = RowFiles(self.files, force=self.force)
            self.written += [path for kind in ('txt', 'csv') for path in self.files.get(kind, ())]
        self._rows.write(results)
        for log, result in zip(self.logs, results):
            # Some kB for each frame: a camera may run for days.
            log.results.append(result if self.edges else result._replace(edges=None))
        if self.video is None and not draw:
            return None
        picture = self.overlay.draw(frame, results)
        if self.video is not None:
            self.video.write(picture)
        return picture

    def finish(self, **about: Any) -> None:
        """Complete all files; without a frame, there are none.

        Args:
            about: Of :class:`~.track_files.TrackRun`: ``source``, ``model``, ``ended``, ...

        Raises:
            OSError: If something could not be completed; the rest was.
        """
        if self._rows is None:
            return
        self._rows.close()
        problems: list[OSError] = []
        video, self.video = self.video, None  # tried once, also if it fails
        try:
            if video is not None and video.count:
                self._note(video.finish())
        except OSError as error:
            problems.append(error)
        try:
            for path in self.files.get('json', ()):
                write_json(path, TrackRun(tracks=self.logs, **about))
                self._note(path)
        except OSError as error:
            problems.append(error)
        if problems:
            raise problems[0]

    def _note(self, path: Path) -> None:
        """A file is there; a second attempt after an error completes only what was missing."""
        if path not in self.written:
            self.written.append(path)

    def close(self) -> None:
        """Close the rows and drop a video that is not finished."""
        if self._rows is not None:
            self._rows.close()
        if self.video is not None:
            self.video.discard()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_free(self) -> None:
        paths = [path for paths in self.files.values() for path in paths]
        if self.video is not None:
            path = self.video.path
            paths += [path.with_name(path.name + ending) for ending in ('.mp4', '.avi')]
        there = [path for path in paths if path.exists()]
        if there:
            more = f' and {len(there) - 1} more' if len(there) > 1 else ''
            raise FileExistsError(
                f'{there[0]}{more} would be overwritten; choose another --out or --name, or add '
                '--force.'
            )
