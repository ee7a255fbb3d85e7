"""Rendered sequences in the layout of a VOT workspace, to try everything without a download.

```
FOLDER/list.txt                    names, one in a line
FOLDER/rendered_000001/sequence    settings: channels, frames per second, size
                       color/00000001.jpg, ...
                       groundtruth.txt    a rectangle or a mask for each frame
                       anchor.value       for each frame 1, -1 or 0, see :func:`mark_anchors`
```
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np

from ..synthetic import Difficulty, make_difficulty
from ..synthetic.scene import Scene
from ..synthetic.sprites import alpha_inside, hide
from .regions import format_mask, format_rectangle

FRAMES_PER_SECOND = 30
_JPEG_QUALITY = 90


def write_rendered_sequences(
    folder: str | Path,
    count: int,
    *,
    masks: bool,
    num_frames: int = 150,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
    difficulty: Difficulty | None = None,
) -> list[str]:
    """Render sequences whose target is never wholly hidden.

    Args:
        folder: The ``sequences`` folder of a workspace; it must not exist.
        count: How many sequences.
        masks: Whether the ground truth is the mask of what is seen of the target, as in VOT2020,
            or a rectangle.
        num_frames: Frames of each sequence, at least 2.
        size: ``(width, height)`` in pixels.
        seed: Of the pictures.
        difficulty: By default medium, without occlusion and without leaving the frame.

    Returns:
        Names of the sequences.

    Raises:
        FileExistsError: If the folder is there.
        ValueError: If a number is out of range.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(
            f'{folder} is there already, expected a folder to make; choose another workspace, or '
            'leave out the rendered sequences.'
        )
    if count < 1 or num_frames < 2:
        raise ValueError(f'got {count} sequences of {num_frames} frames, expected 1 of 2 at least.')
    difficulty = difficulty or make_difficulty('medium', occlusion=0, leaving=0)
    names = [f'rendered_{number + 1:06d}' for number in range(count)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f'.{folder.name}-', dir=folder.parent))
    try:
        for number, name in enumerate(names):
            scene = Scene(seed, number, difficulty, num_frames, size)
            _write_sequence(temporary / name, scene, masks)
        (temporary / 'list.txt').write_text(''.join(f'{name}\n' for name in names))
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return names


def mark_anchors(num_frames: int, step: int = 50) -> np.ndarray:
    """Where the multi-start experiments begin: every ``step`` frames, as in VOT2020.

    Returns:
        ``(num_frames,)``: 1 for a run to the last frame, -1 for a run to the first one, whichever
        is longer, and 0 for frames that are no anchors.
    """
    values = np.zeros(num_frames, int)
    anchors = np.arange(0, num_frames, step)
    values[anchors] = np.where(num_frames - 1 - anchors >= anchors, 1, -1)
    return values


def target_mask(scene: Scene, frame: int) -> np.ndarray:
    """Pixels of the target that are seen, bools ``(height, width)``."""
    width, height = scene.size
    patch = scene.target.draw(frame)
    seen = alpha_inside(patch, scene.size)
    for actor in scene.above:
        hide(seen, patch, actor.draw(frame, scene.size))
    mask = np.zeros((height, width), bool)
    rows = np.arange(seen.shape[0]) + patch.top
    columns = np.arange(seen.shape[1]) + patch.left
    rows_inside = (rows >= 0) & (rows < height)
    columns_inside = (columns >= 0) & (columns < width)
    part = seen[np.ix_(rows_inside, columns_inside)] > 127
    mask[np.ix_(rows[rows_inside], columns[columns_inside])] = part
    return mask


def _write_sequence(folder: Path, scene: Scene, masks: bool) -> None:
    (folder / 'color').mkdir(parents=True)
    lines = []
    for index in range(scene.num_frames):
        image, box, *_ = scene.frame(index)
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        _, code = cv2.imencode('.jpg', image, quality)
        (folder / 'color' / f'{index + 1:08d}.jpg').write_bytes(code.tobytes())
        mask = target_mask(scene, index) if masks else None
        lines.append(format_rectangle(box) if mask is None else format_mask(mask, 'm'))
    width, height = scene.size
    settings = {
        'name': folder.name,
        'fps': FRAMES_PER_SECOND,
        'format': 'default',
        'channel.default': 'color',
        'channels.color': 'color/%08d.jpg',
        'width': width,
        'height': height,
        'length': scene.num_frames,
    }
    _write_lines(folder / 'sequence', [f'{key}={value}' for key, value in settings.items()])
    _write_lines(folder / 'groundtruth.txt', lines)
    _write_lines(folder / 'anchor.value', mark_anchors(scene.num_frames))


def _write_lines(path: Path, lines) -> None:
    path.write_text(''.join(f'{line}\n' for line in lines))
