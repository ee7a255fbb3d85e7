"""Models side by side in one process: speed of all of them in turns, then how well they track."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn
from tqdm import tqdm

from ..benchmark.speed.clip import Clip
from ..benchmark.speed.contenders import (
    PACKAGES,
    PUBLISHED,
    Contender,
    build_model,
    check_installed,
    count_work,
)
from ..benchmark.speed.exports import export_models
from ..benchmark.speed.frame_speed import FrameRun, FrameSpeed, summarize
from ..benchmark.speed.measuring import describe, open_loop, use_threads
from ..benchmark.timing import Timing, take_turns
from ..runtime import BackendNotInstalled
from ..tracking import SequenceTracker
from .entries import Entry
from .scoring import measure_tracker
from .test_sets import TestSet

ACCURACY = 'accuracy'
_FRAMES = 3  # of a turn
NOT_MEASURED = 'this was written before it was measured'


@dataclass
class Row:
    """A model, and what was measured of it.

    Attributes:
        entry: The model.
        speeds: Of the whole step of a frame, by the name of the backend; ``'published'`` is the
            published forward, in torch, and what the others are compared to.
        metrics: Of the data set, in percent.
        missing: Why there is nothing yet, by the name of the backend or ``'accuracy'``.
    """

    entry: Entry
    speeds: dict[str, FrameSpeed] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class SideBySide:
    """Models, ready to run on every backend.

    Args:
        entries: The models.
        backends: Keys of :data:`~..deployment.backends.DTYPES`. One that is not installed, or that
            cannot run a model, is noted in ``missing``.
        published: Whether the published forward of each runs, too.
        accuracy: Whether how well they track is wanted.
        threads: Of the CPU, for all backends alike.
        clip: What is tracked for the speed.
        folder: For models that are exported, as long as they run.
        progress: Whether to show bars, on a terminal.

    Attributes:
        rows: One for each model.
        columns: What runs of each: ``'published'`` if it was asked for, and the backends.
        machine: It, and the versions of what runs there, in a line.

    Raises:
        FileNotFoundError: If a checkpoint does not exist.
        ValueError: If one does not fit its config.
        RuntimeError: If nothing that is wanted can run here.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        backends: Sequence[str],
        *,
        published: bool,
        accuracy: bool,
        threads: int,
        clip: Clip,
        folder: Path,
        progress: bool = True,
    ) -> None:
        use_threads(threads)
        self.clip, self.progress = clip, progress
        self._no_bar = None if progress else True  # None: where stderr is no terminal
        contenders = {PUBLISHED.backend: PUBLISHED} if published else {}
        contenders |= {name: Contender(name) for name in dict.fromkeys(backends)}
        self.columns = list(contenders)
        wanted = [*self.columns, *([ACCURACY] if accuracy else [])]
        self.rows = [Row(entry, missing=dict.fromkeys(wanted, NOT_MEASURED)) for entry in entries]
        for row in self.rows:
            if accuracy and row.entry.untrained:
                row.missing[ACCURACY] = row.entry.untrained
        # All of them before any is exported: what is wrong with a checkpoint is to show at once.
        models = [build_model(entry.config, entry.checkpoint) for entry in entries]
        usable = self._installed(contenders)
        self.machine = describe(models[0].data_preprocessor.mean.device, usable.values())
        self._loops: list[dict[str, SequenceTracker]] = []
        bar = tqdm(models, desc='prepare', unit='model', disable=self._no_bar)
        for number, model in enumerate(bar):
            loops = self._open(model, usable, folder / str(number), self.rows[number], threads)
            self._loops.append(loops)
        if not any(self._loops):
            reasons = dict.fromkeys(row.missing[name] for row in self.rows for name in self.columns)
            raise RuntimeError('nothing can be measured: ' + '\n'.join(reasons))
        self._work = [
            {name: count_work(model, contenders[name]) for name in loops}
            for model, loops in zip(models, self._loops)
        ]
        self._runs: dict[tuple[int, str], FrameRun] = {}

    def measure_speed(self, seconds: float, min_rounds: int = 3) -> None:
        """Let all models track the clip on all backends, in turns.

        What was measured is in ``rows`` however it ends, also if it is interrupted.

        Args:
            seconds: For each model; no round begins after that time.
            min_rounds: But at least so many.
        """
        try:
            for number, loops in enumerate(self._loops):
                for name, loop in loops.items():
                    self._runs[number, name] = FrameRun(loop, self.clip, _FRAMES)
            total = seconds * sum(map(bool, self._loops))
            form = '{desc}: {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s'
            bar = tqdm(desc='speed', total=total, bar_format=form, disable=self._no_bar)
            with bar:
                runs = {key: _watched(run, bar, total) for key, run in self._runs.items()}
                take_turns(runs, total, min_rounds)
        finally:
            self._summarize()

    def measure_accuracy(self, test_set: TestSet) -> Iterator[Row]:
        """Let the models with weights track a data set, one after the other, on one backend.

        Args:
            test_set: As :func:`~.test_sets.open_test_set` gives it.

        Yields:
            The row of each, when it is finished.
        """
        dataset, new_scorer = test_set
        for number, row in enumerate(self.rows):
            if row.entry.untrained:
                continue
            loops = {n: one for n, one in self._loops[number].items() if n != PUBLISHED.backend}
            if not loops:
                row.missing[ACCURACY] = 'none of the backends runs it'
                continue
            loop = next(iter(loops.values()))
            record = measure_tracker(loop, dataset, new_scorer(), row.entry.name, self.progress)
            row.metrics = {k.rpartition('/')[2]: v for k, v in record.metrics.items()}
            del row.missing[ACCURACY]
            yield row

    def empty_cells(self) -> str:
        """What was wanted and is not there, in words."""
        cells: dict[str, list[str]] = {}
        for row in self.rows:
            for column in row.missing:
                cells.setdefault(column, []).append(row.entry.name)
        return '; '.join(f'{column} of {", ".join(names)}' for column, names in cells.items())

    def _installed(self, contenders: dict[str, Contender]) -> dict[str, Contender]:
        """Those that can run here; the others are noted in every row."""
        usable = {}
        for name, contender in contenders.items():
            try:
                if contender != PUBLISHED:
                    check_installed(contender.backend, contender.dtype)
                usable[name] = contender
            except BackendNotInstalled as error:
                for row in self.rows:
                    row.missing[name] = str(error)
        return usable

    def _open(
        self,
        model: nn.Module,
        contenders: dict[str, Contender],
        folder: Path,
        row: Row,
        threads: int,
    ) -> dict[str, SequenceTracker]:
        """The tracking loops of a model; what it has not is noted in its row."""
        exported: dict[Contender, Path | None] = {}
        wanted = [one for one in contenders.values() if PACKAGES[one.backend]]
        try:
            exported = export_models(model, wanted, folder, {}, self.clip)
        except ValueError as error:
            row.missing.update({one.backend: str(error) for one in wanted})
        loops = {}
        for name, contender in contenders.items():
            if row.missing[name] == NOT_MEASURED:
                try:
                    loops[name] = open_loop(model, contender, exported.get(contender), threads)
                except ValueError as error:  # nobody has published such a tracker
                    row.missing[name] = str(error)
        return loops

    def _summarize(self) -> None:
        """Write the speeds of what had a turn into the rows."""
        for number, row in enumerate(self.rows):
            runs = {name: self._runs.get((number, name)) for name in self._loops[number]}
            done = {name: run for name, run in runs.items() if run is not None and run.turns}
            for name, run in done.items():
                del row.missing[name]
                reference = done.get(PUBLISHED.backend)
                row.speeds[name] = summarize(run, reference, self._work[number][name])


def _watched(run: FrameRun, bar: tqdm, total: float) -> Callable[[], Timing]:
    """The run; after it, the bar shows how much of the time is over."""
    start = time.perf_counter()

    def turn() -> Timing:
        timing = run()
        bar.n = min(time.perf_counter() - start, total)
        bar.refresh()
        return timing

    return turn
