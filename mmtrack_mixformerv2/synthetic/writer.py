"""Writes rendered sequences to disk in GOT-10k's layout, in parallel and resumable.

```
OUT/settings.json                              what the pictures depend on; checked on resuming
OUT/annotations/got10k_{train,val}_infos.txt   what mmtrack's GOT10kDataset takes as ann_file
OUT/{train,val}/list.txt
OUT/{train,val}/synthetic_train_000001/        00000001.jpg, ..., groundtruth.txt, absence.label,
                                               cover.label, cut_by_image.label, meta_info.ini
```

A sequence is written into a hidden folder and renamed when it is whole, so a folder with its final
name is complete. One run at a time may write to a folder. `GOT10kDataset` in test mode hands out
the first box only, as the GOT-10k server does; `AnnotatedGOT10kDataset` hands out all of them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from .difficulty import Difficulty
from .sequence import RenderedSequence, render_sequence
from .textures import load_photographs, photograph_fingerprints

RENDERER_VERSION = 2  # grows whenever the same settings give other pictures
# Indices of a split start here, so that no two splits ever share a sequence.
SPLIT_STARTS = {'train': 0, 'val': 2**30}
INFO_HEADER = (
    'The format of each line in this txt is '
    '(video_path,annotation_path,start_frame_id,end_frame_id)'
)


@dataclass(frozen=True)
class RenderSettings:
    """What the pictures of a data set depend on, besides the photographs.

    Attributes:
        seed: Seed of the whole data set.
        difficulty: Options, see `Difficulty`.
        frames: Frames per sequence of each split.
        size: ``(width, height)`` in pixels.
        quality: JPEG quality, 1 to 100.
    """

    seed: int
    difficulty: Difficulty
    frames: dict[str, int]
    size: tuple[int, int] = (320, 240)
    quality: int = 85

    def __post_init__(self):
        if set(self.frames) != set(SPLIT_STARTS):
            raise ValueError(
                f'frames={self.frames}; expected one number for each of {", ".join(SPLIT_STARTS)}.'
            )
        for split, frames in self.frames.items():
            if frames < 20:
                raise ValueError(
                    f'{frames} frames per sequence of {split}; expected at least 20, since '
                    'samplers of GOT-10k drop shorter sequences.'
                )
        if not 1 <= self.quality <= 100:
            raise ValueError(f'quality={self.quality}; JPEG quality lies between 1 and 100.')
        if self.seed < 0:
            raise ValueError(f'seed={self.seed}; expected an integer >= 0.')
        if min(self.size) < 64:
            raise ValueError(f'size={self.size}; expected at least 64 x 64 pixels.')

    def as_record(self, photographs: Sequence[Path]) -> dict:
        """Plain values for ``settings.json``."""
        record = asdict(self)
        if not self.difficulty.hiding:  # newer than the others: folders of before can be resumed
            del record['difficulty']['hiding']
        record['size'] = list(self.size)
        return dict(
            record,
            renderer_version=RENDERER_VERSION,
            photographs=photograph_fingerprints(photographs),
        )


@dataclass(frozen=True)
class RenderReport:
    """What `write_dataset` did: sequences rendered and kept, frames rendered, seconds it took."""

    rendered: int
    kept: int
    frames: int
    seconds: float

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.frames else 0.0


def sequence_name(split: str, number: int) -> str:
    """Folder of sequence ``number`` (from 0); GOT-10k counts from 1."""
    return f'synthetic_{split}_{number + 1:06d}'


def check_output(out: Path, record: dict) -> None:
    """Make sure that ``out`` is empty or holds sequences of the same settings.

    Raises:
        FileExistsError: If it holds anything else.
        ValueError: If its sequences were rendered with other settings.
    """
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'{out} is a file; --out names a folder.')
    if not out.exists() or not any(out.iterdir()):
        return
    path = out / 'settings.json'
    if not path.is_file():
        raise FileExistsError(
            f'{out} is not empty and was not made by this renderer (it has no settings.json); '
            'choose another folder, nothing was written.'
        )
    try:
        before = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path} is not readable as JSON ({error}); choose another folder.'
        ) from error
    changed = sorted(
        key for key in record.keys() | before.keys() if record.get(key) != before.get(key)
    )
    if changed:
        details = '; '.join(
            f'{key}: {before.get(key)} on disk, {record.get(key)} asked for' for key in changed
        )
        raise ValueError(
            f'{out} holds sequences of other settings ({details}). Repeat those settings to '
            'resume, or choose another folder; nothing was written.'
        )


def write_dataset(
    out: str | Path,
    settings: RenderSettings,
    counts: dict[str, int],
    photographs: Sequence[Path] = (),
    workers: int = 1,
    progress: bool = True,
) -> RenderReport:
    """Render the sequences that are missing and write the lists.

    Args:
        out: Output folder: new, empty, or of an earlier call with the same settings.
        counts: Number of sequences of each split, e.g. ``dict(train=2000, val=20)``.
        photographs: Files to cut textures from, see `find_photographs`.
        workers: Processes; the pictures do not depend on it.
        progress: Whether to show a progress bar.

    Raises:
        FileExistsError: See `check_output`.
        ValueError: See `check_output`; also for unknown splits and negative counts.
    """
    for split, count in counts.items():
        if split not in SPLIT_STARTS or not 0 <= count < 2**30:
            raise ValueError(
                f'{count} sequences of {split!r}; expected a number >= 0 for each of '
                f'{", ".join(SPLIT_STARTS)}.'
            )
    if workers < 1:
        raise ValueError(f'workers={workers}; expected at least 1 process.')
    out, photographs = Path(out), [Path(path).resolve() for path in photographs]
    load_photographs(photographs)
    record = settings.as_record(photographs)
    check_output(out, record)
    out.mkdir(parents=True, exist_ok=True)
    _write_text(out / 'settings.json', json.dumps(record, indent=2) + '\n')
    jobs, kept = [], 0
    for split, count in counts.items():
        (out / split).mkdir(exist_ok=True)
        for left_over in (out / split).glob('.synthetic_*'):  # of a run that was killed
            shutil.rmtree(left_over)
        present = {path.name for path in (out / split).iterdir()}
        missing = [i for i in range(count) if sequence_name(split, i) not in present]
        jobs += [(split, i) for i in missing]
        kept += count - len(missing)
    start = time.perf_counter()
    frames = sum(_run(partial(_render_job, out, settings, photographs), jobs, workers, progress))
    seconds = time.perf_counter() - start
    for split, count in counts.items():
        _write_lists(
            out, split, [sequence_name(split, i) for i in range(count)], settings.frames[split]
        )
    return RenderReport(len(jobs), kept, frames, seconds)


def _run(job, jobs: Sequence[tuple[str, int]], workers: int, progress: bool) -> Iterable[int]:
    bar = tqdm(total=len(jobs), unit='seq', disable=not progress or not jobs)
    with bar:
        if workers == 1 or len(jobs) < 2:
            threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
            try:
                for item in jobs:
                    yield job(item)
                    bar.update()
            finally:
                cv2.setNumThreads(threads)
            return
        # Spawned: a forked child inherits the thread pools of OpenCV and torch, but not their
        # threads.
        with multiprocessing.get_context('spawn').Pool(
            workers, initializer=cv2.setNumThreads, initargs=(1,)
        ) as pool:
            for frames in pool.imap_unordered(
                job, jobs, chunksize=max(1, min(8, len(jobs) // (4 * workers)))
            ):
                yield frames
                bar.update()


def _render_job(
    out: Path, settings: RenderSettings, photographs: Sequence[Path], job: tuple[str, int]
) -> int:
    split, number = job
    rendered = render_sequence(
        settings.seed,
        SPLIT_STARTS[split] + number,
        settings.difficulty,
        settings.frames[split],
        settings.size,
        load_photographs(photographs),
    )
    write_sequence(out / split / sequence_name(split, number), rendered, settings.quality)
    return len(rendered.frames)


def write_sequence(folder: Path, rendered: RenderedSequence, quality: int) -> None:
    """Write one sequence; ``folder`` appears at once and whole, or not at all."""
    temporary = Path(tempfile.mkdtemp(prefix=f'.{folder.name}-', dir=folder.parent))
    try:
        for t, frame in enumerate(rendered.frames):
            _, code = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
            (temporary / f'{t + 1:08d}.jpg').write_bytes(code.tobytes())
        lines = [','.join(f'{value:.4f}' for value in box) for box in rendered.boxes_xywh]
        (temporary / 'groundtruth.txt').write_text('\n'.join(lines) + '\n')
        for name in ('absence', 'cover', 'cut_by_image'):
            values = np.asarray(getattr(rendered, name), int)
            (temporary / f'{name}.label').write_text('\n'.join(map(str, values)) + '\n')
        (temporary / 'meta_info.ini').write_text(_meta_info(rendered))
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def _meta_info(rendered: RenderedSequence) -> str:
    count, height, width = rendered.frames.shape[:3]
    seconds = count // 10
    return (
        '[METAINFO]\nurl: none (rendered)\nbegin: 00:00:00\n'
        f'end: {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}\nanno_fps: 10Hz\n'
        'object_class: rendered object\nmotion_class: drift\nmajor_class: rendered object\n'
        f'root_class: artifact\nmotion_adverb: smoothly\nresolution: ({width}, {height})\n'
    )


def _write_lists(out: Path, split: str, names: Sequence[str], frames: int) -> None:
    _write_text(out / split / 'list.txt', ''.join(f'{name}\n' for name in names))
    (out / 'annotations').mkdir(exist_ok=True)
    lines = [INFO_HEADER] + [
        f'{split}/{name},{split}/{name}/groundtruth.txt,1,{frames}' for name in names
    ]
    _write_text(out / 'annotations' / f'got10k_{split}_infos.txt', '\n'.join(lines))


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f'.{path.name}.part')
    temporary.write_text(text)
    os.replace(temporary, path)
