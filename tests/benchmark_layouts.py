"""Tiny benchmarks in the exact layouts of their publishers, oddities included.

Every ``make_*`` writes a benchmark below ``root`` and returns the lines that its info file has,
without the title: ``video_path,annotation_path,first_frame,last_frame``. Give them to
:func:`write_infos` for a data set that is read without the converter.

Sequences have few different frames; where a benchmark says how long a sequence is, the other frames
are links to these. So a box belongs to what its frame shows (:func:`boxes_of`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from layouts import HEADER, frame_and_box

DIFFERENT = 6  # frames of a sequence; later ones repeat them


def boxes_of(count: int, seed: int) -> np.ndarray:
    """Boxes of the first frames of :func:`write_sequence`, int of shape ``(count, 4)``, xywh."""
    return np.array([frame_and_box(index % DIFFERENT, seed)[1] for index in range(count)])


def write_sequence(folder: Path, names: Sequence[str], seed: int) -> None:
    """Writes frames of 96 x 72 pixels with these names: the first few, and links to them."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        if index < DIFFERENT:
            cv2.imwrite(str(folder / name), frame_and_box(index, seed)[0])
        else:
            os.link(folder / names[index % DIFFERENT], folder / name)


def numbered(count: int, digits: int, first: int = 1, suffix: str = '.jpg') -> list[str]:
    """File names with ``digits`` digits (at least), counting from ``first``."""
    return [f'{number:0{digits}d}{suffix}' for number in range(first, first + count)]


def write_text(path: Path, lines: Sequence[object], newline: str = '\n', end: str = '\n') -> None:
    """Writes lines with the given line end; ``end`` is what follows the last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((newline.join(map(str, lines)) + end).encode())


def rows(boxes: np.ndarray, between: str = ',', form: str = '{}') -> list[str]:
    """One line per box."""
    return [between.join(form.format(value) for value in box) for box in boxes]


def write_infos(root: Path, name: str, lines: Sequence[str]) -> Path:
    """Writes ``annotations/<name>_infos.txt`` below ``root``."""
    path = root / 'annotations' / f'{name}_infos.txt'
    write_text(path, [HEADER, *lines])
    return path


# --- LaSOT -----------------------------------------------------------------------------------


def make_lasot(
    root: Path, names: Sequence[str] = ('airplane-1', 'airplane-2', 'yoyo-7'), frames: int = 8
) -> list[str]:
    """LaSOT; ``airplane-2`` is in the training set, the others are in the test set.

    Target hidden in frame 3, out of view in frame 5 (from 0), with a box of zeros there. Labels of
    absence are one line, numbers of boxes are whole. The second sequence has lines of Windows and
    an empty one at the end. ``testing_set.txt`` names those of the test set that are there.
    """
    lines = []
    for index, name in enumerate(names):
        folder = root / 'LaSOTBenchmark' / name.split('-')[0] / name
        lines.append(_lasot_sequence(folder, index, frames, root / 'LaSOTBenchmark'))
    test = [name for name in names if name != 'airplane-2']
    write_text(root / 'LaSOTBenchmark' / 'testing_set.txt', test)
    return lines


def make_lasot_ext(
    root: Path, names: Sequence[str] = ('atv-1', 'wingsuit-10'), frames: int = 8
) -> list[str]:
    """LaSOT's extension: as LaSOT, with the classes in ``root``; paths are relative to it.

    The last sequence lacks both files of absence.
    """
    lines = [
        _lasot_sequence(root / name.split('-')[0] / name, index, frames, root)
        for index, name in enumerate(names)
    ]
    last = root / names[-1].split('-')[0] / names[-1]
    (last / 'full_occlusion.txt').unlink()
    (last / 'out_of_view.txt').unlink()
    return lines


def _lasot_sequence(folder: Path, seed: int, frames: int, base: Path) -> str:
    write_sequence(folder / 'img', numbered(frames, 8), seed)
    boxes = boxes_of(frames, seed)
    boxes[[3, 5]] = 0
    windows = {'newline': '\r\n', 'end': '\r\n\r\n'} if seed == 1 else {}
    write_text(folder / 'groundtruth.txt', rows(boxes), **windows)
    for label, hidden in (('full_occlusion', 3), ('out_of_view', 5)):
        flags = ','.join(str(int(index == hidden)) for index in range(frames))
        write_text(folder / f'{label}.txt', [flags], end='\n' if seed else '')
    write_text(folder / 'nlp.txt', ['a bright square over a dark floor'])
    path = folder.relative_to(base).as_posix()
    return f'{path}/img,{path}/groundtruth.txt,1,{frames}'


# --- GOT-10k ---------------------------------------------------------------------------------


def make_got10k(root: Path, split: str = 'val', videos: int = 2, frames: int = 8) -> list[str]:
    """A part of GOT-10k with its ``list.txt``.

    Numbers of boxes have four decimals. In ``train`` and ``val`` the target is covered in frame 3
    and absent in frame 5 (from 0); in ``test`` the one line is the box of the first frame, and
    there are no labels.
    """
    lines, names = [], []
    for number in range(1, videos + 1):
        name = f'GOT-10k_{split.capitalize()}_{number:06d}'
        folder = root / split / name
        write_sequence(folder, numbered(frames, 8), number)
        boxes = boxes_of(frames if split != 'test' else 1, number)
        write_text(folder / 'groundtruth.txt', rows(boxes, form='{:.4f}'))
        if split != 'test':
            write_text(folder / 'absence.label', [int(i == 5) for i in range(frames)])
            write_text(folder / 'cover.label', [0 if i in (3, 5) else 8 for i in range(frames)])
            write_text(folder / 'cut_by_image.label', [0] * frames)
            write_text(folder / 'meta_info.ini', ['[METAINFO]', 'resolution: (96, 72)'])
        names.append(name)
        lines.append(f'{split}/{name},{split}/{name}/groundtruth.txt,1,{frames}')
    write_text(root / split / 'list.txt', names)
    return lines


# --- TrackingNet -----------------------------------------------------------------------------


def make_trackingnet(
    root: Path,
    chunk: str = 'TEST',
    names: Sequence[str] = ('-3TIfnTSM6c_2', '0-6LB4FqxoE_0'),
    frames: int = 12,
) -> list[str]:
    """A chunk of TrackingNet: frames count from 0 without zeros in front, names may begin with -.

    ``TEST`` has the box of frame 0 only; in the others numbers of boxes have decimals.
    """
    lines = []
    for index, name in enumerate(names):
        write_sequence(root / chunk / 'frames' / name, numbered(frames, 1, first=0), index)
        boxes = boxes_of(1 if chunk == 'TEST' else frames, index)
        form = '{}' if chunk == 'TEST' else '{:.2f}'
        write_text(root / chunk / 'anno' / f'{name}.txt', rows(boxes, form=form))
        lines.append(f'{chunk}/frames/{name},{chunk}/anno/{name}.txt,0,{frames - 1}')
    return lines


# --- UAV123 ----------------------------------------------------------------------------------

UAV123_PARTS = {  # name: folder, first frame, last frame, frames in the folder
    'bird1_1': ('bird1', 1, 253, 2437),
    'bird1_2': ('bird1', 775, 1477, 2437),
    'uav6': ('uav6', 1, 109, 109),
}


def make_uav123(root: Path, names: Sequence[str] = tuple(UAV123_PARTS)) -> list[str]:
    """Sequences of UAV123 in their true length: two of them share a folder, one starts late.

    Where the target is not seen, frames 2 and 3 (from 0), the box is ``NaN,NaN,NaN,NaN``.
    """
    lines = []
    for name in names:
        folder, first, last, frames = UAV123_PARTS[name]
        path = root / 'data_seq' / 'UAV123' / folder
        if not path.exists():
            write_sequence(path, numbered(frames, 6), len(folder))
        boxes = rows(boxes_of(last, len(folder))[first - 1 :])
        boxes[2:4] = ['NaN,NaN,NaN,NaN'] * 2
        annotation = f'anno/UAV123/{name}.txt'
        write_text(root / annotation, boxes)
        lines.append(f'data_seq/UAV123/{folder},{annotation},{first},{last}')
    return lines


# --- OTB100 ----------------------------------------------------------------------------------

OTB100_PARTS = {  # name: folder, annotation, between numbers, digits, first, last, first on disk
    'Board': ('Board', 'groundtruth_rect.txt', '\t', 5, 1, 698, 1),
    'David': ('David', 'groundtruth_rect.txt', '\t', 4, 300, 770, 1),
    'Deer': ('Deer', 'groundtruth_rect.txt', ',', 4, 1, 71, 1),
    'Human4': ('Human4', 'groundtruth_rect.2.txt', ',', 4, 1, 667, 1),
    'Jogging-1': ('Jogging', 'groundtruth_rect.1.txt', ',', 4, 1, 307, 1),
    'Jogging-2': ('Jogging', 'groundtruth_rect.2.txt', ' ', 4, 1, 307, 1),
    'Tiger1': ('Tiger1', 'groundtruth_rect.txt', ',', 4, 6, 354, 1),
}


def make_otb100(root: Path, names: Sequence[str] = tuple(OTB100_PARTS)) -> list[str]:
    """Sequences of OTB100 in their true length, below ``data/``.

    Commas, tabs or blanks between numbers; five digits in ``Board``; two targets of ``Jogging``;
    ``David`` starts at frame 300, of which the annotation begins. ``Tiger1`` starts at frame 6, but
    its annotation has a line for every frame from 1 on.
    """
    lines = []
    for name in names:
        folder, annotation, between, digits, first, last, on_disk = OTB100_PARTS[name]
        path = root / 'data' / folder
        if not (path / 'img').exists():
            write_sequence(path / 'img', numbered(last - on_disk + 1, digits, on_disk), len(folder))
        boxes = boxes_of(last, len(folder))
        if name != 'Tiger1':
            boxes = boxes[first - 1 :]
        windows = {'newline': '\r\n', 'end': '\r\n'} if name == 'Deer' else {}
        write_text(path / annotation, rows(boxes, between), **windows)
        lines.append(f'data/{folder}/img,data/{folder}/{annotation},{first},{last}')
    return lines


# --- TNL2K -----------------------------------------------------------------------------------


def make_tnl2k(root: Path, frames: int = 12) -> list[str]:
    """The test part of TNL2K: folders ``imgs`` with names of every kind.

    Numbers with eight digits (png), numbers without zeros in front (jpg), names with words that
    start at 0, and a sequence whose first number is 31. The second has an empty line at the end,
    the third has decimals. Positions in the sorted list stand for frames.
    """
    names = {
        'Fight_video_6-Done': numbered(frames, 8, suffix='.png'),
        'INF_womanpink': numbered(frames, 1),
        'advSamp_Baseball_game_002-Done': [f'img_{i:04d}.jpg' for i in range(frames)],
        'test_015_Sord_video_Q01_done': numbered(frames, 5, first=31, suffix='.png'),
    }
    lines = []
    for index, (name, files) in enumerate(names.items()):
        write_sequence(root / name / 'imgs', files, index)
        form = '{:.1f}' if index == 2 else '{}'
        end = '\n\n' if index == 1 else '\n'
        write_text(
            root / name / 'groundtruth.txt', rows(boxes_of(frames, index), ',', form), end=end
        )
        write_text(root / name / 'language.txt', ['the bright square'])
        lines.append(f'{name}/imgs,{name}/groundtruth.txt,1,{frames}')
    return lines


# --- NfS -------------------------------------------------------------------------------------


def make_nfs(
    root: Path, fps: int = 240, names: Sequence[str] = ('Gymnastics', 'bee'), frames: int = 33
) -> list[str]:
    """NfS; ``frames`` counts those of 240 frames/s, of which 30 frames/s have every eighth.

    Frames lie in ``<name>/<fps>/<name>/00001.jpg`` and on, corners in ``<name>/<fps>/<name>.txt``:
    ``track xmin ymin xmax ymax frame lost occluded generated "label"``, with the numbers of the
    240 frames/s, from 1. At 30 frames/s the file is the same: every eighth line belongs to a frame.
    The target of the first sequence is lost in frame 16 (from 0), and keeps its last box.
    """
    step = 240 // fps
    shown = len(range(0, frames, step))
    lines = []
    for index, name in enumerate(names):
        write_sequence(root / name / str(fps) / name, numbered(shown, 5), index)
        boxes = np.repeat(boxes_of(shown, index), step, axis=0)[:frames]
        boxes[:, 2:] += boxes[:, :2]
        lost = [int(index == 0 and frame == 16) for frame in range(frames)]
        text = [
            f'0 {" ".join(map(str, box))} {frame + 1} {lost[frame]} 0 {int(frame % 8 > 0)} "target"'
            for frame, box in enumerate(boxes)
        ]
        write_text(root / name / str(fps) / f'{name}.txt', text)
        path = f'{name}/{fps}'
        lines.append(f'{path}/{name},{path}/{name}.txt,1,{shown}')
    return lines


# --- any folder ------------------------------------------------------------------------------


def make_folder(root: Path, frames: int = 12) -> list[str]:
    """Sequences of one's own: frames beside ``groundtruth.txt``, or in a folder ``img``.

    The first has names that sort wrongly as text and one box per frame; the second has the first
    box only, with blanks between numbers. A folder without ``groundtruth.txt`` is no sequence.
    """
    write_sequence(root / 'one', numbered(frames, 1, suffix='.png'), 1)
    write_text(root / 'one' / 'groundtruth.txt', rows(boxes_of(frames, 1)))
    write_sequence(root / 'two' / 'img', numbered(frames, 4, first=0), 2)
    write_text(root / 'two' / 'groundtruth.txt', rows(boxes_of(1, 2), ' '), end='')
    write_text(root / 'notes' / 'readme.txt', ['no sequence'])
    return [
        f'one,one/groundtruth.txt,1,{frames}',
        f'two/img,two/groundtruth.txt,1,{frames}',
    ]
