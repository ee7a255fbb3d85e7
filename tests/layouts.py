"""Tiny data sets in the official layouts: a bright square that moves over a dark texture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, SIDE = 96, 72, 16
HEADER = 'The format of each line in this txt is (video_path,annotation_path,start,end)'


def frame_and_box(index: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Frame ``(HEIGHT, WIDTH, 3)`` of a video and the square's x, y, width, height."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    x, y = 10 + (3 * index + seed) % 60, 20 + (index + seed) % 25
    image[y : y + SIDE, x : x + SIDE] = (40, 220, 250)
    return image, [x, y, SIDE, SIDE]


def write_frames(folder: Path, names: list[str], seed: int) -> np.ndarray:
    """Writes the frames of a video and returns its boxes ``(N, 4)``, x, y, width, height."""
    folder.mkdir(parents=True)
    boxes = []
    for index, name in enumerate(names):
        image, box = frame_and_box(index, seed)
        cv2.imwrite(str(folder / name), image)
        boxes.append(box)
    return np.array(boxes)


def write_lines(path: Path, lines) -> None:
    """Writes one line per entry, without a line end after the last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(str(line) for line in lines))


def write_boxes(path: Path, boxes: np.ndarray) -> None:
    """Writes one comma separated box per line."""
    write_lines(path, [','.join(str(value) for value in box) for box in boxes])


def make_got10k(root: Path, split: str = 'train', videos: int = 2, frames: int = 24) -> Path:
    """GOT-10k below ``root``; the info file is ``annotations/got10k_<split>_infos.txt``.

    In the training split the target of every video is hidden in frame 3 and absent in frame 5.
    """
    name = {'train': 'Train', 'test': 'Test'}[split]
    lines = [HEADER]
    for video in range(1, videos + 1):
        folder = root / split / f'GOT-10k_{name}_{video:06d}'
        boxes = write_frames(folder, [f'{i + 1:08d}.jpg' for i in range(frames)], seed=video)
        write_boxes(folder / 'groundtruth.txt', boxes if split == 'train' else boxes[:1])
        if split == 'train':
            write_lines(folder / 'absence.label', [int(i == 5) for i in range(frames)])
            write_lines(folder / 'cover.label', [0 if i in (3, 5) else 8 for i in range(frames)])
        path = folder.relative_to(root)
        lines.append(f'{path},{path}/groundtruth.txt,1,{frames}')
    write_lines(root / f'annotations/got10k_{split}_infos.txt', lines)
    return root


def make_lasot(root: Path, split: str = 'train', videos: int = 2, frames: int = 24) -> Path:
    """LaSOT below ``root``; frame 4 of every video is fully occluded, frame 6 out of view."""
    lines = [HEADER]
    for video in range(1, videos + 1):
        folder = root / 'LaSOTBenchmark' / 'airplane' / f'airplane-{video}'
        boxes = write_frames(folder / 'img', [f'{i + 1:08d}.jpg' for i in range(frames)], video)
        write_boxes(folder / 'groundtruth.txt', boxes)
        for label, hidden in (('full_occlusion', 4), ('out_of_view', 6)):
            write_lines(
                folder / f'{label}.txt', [','.join(str(int(i == hidden)) for i in range(frames))]
            )
        path = f'airplane/airplane-{video}'
        lines.append(f'{path}/img,{path}/groundtruth.txt,1,{frames}')
    write_lines(root / f'annotations/lasot_{split}_infos.txt', lines)
    return root


def make_trackingnet(root: Path, split: str = 'train', videos: int = 2, frames: int = 24) -> Path:
    """TrackingNet below ``root``; frames count from 0, test videos have a box in frame 0 only."""
    chunk = 'TRAIN_0' if split == 'train' else 'TEST'
    lines = [HEADER]
    for video in range(1, videos + 1):
        folder = root / chunk / 'frames' / f'video_{video}'
        boxes = write_frames(folder, [f'{i}.jpg' for i in range(frames)], seed=video)
        ann = root / chunk / 'anno' / f'video_{video}.txt'
        write_boxes(ann, boxes if split == 'train' else boxes[:1])
        paths = folder.relative_to(root), ann.relative_to(root)
        lines.append(f'{paths[0]},{paths[1]},0,{frames - 1}')
    write_lines(root / f'annotations/trackingnet_{split}_infos.txt', lines)
    return root


def make_coco(root: Path, images: int = 3) -> Path:
    """COCO's training set below ``root``, with one crowd annotation that must not be used."""
    boxes = write_frames(root / 'train2017', [f'{i:012d}.jpg' for i in range(images)], seed=9)
    annotations = [
        dict(id=i, image_id=i, category_id=1, iscrowd=0, bbox=box, area=SIDE * SIDE)
        for i, box in enumerate(boxes.tolist())
    ]
    annotations.append(
        dict(id=99, image_id=0, category_id=1, iscrowd=1, bbox=[0, 0, 9, 9], area=81)
    )
    content = dict(
        images=[
            dict(id=i, file_name=f'{i:012d}.jpg', width=WIDTH, height=HEIGHT) for i in range(images)
        ],
        annotations=annotations,
        categories=[dict(id=1, name='thing')],
    )
    path = root / 'annotations' / 'instances_train2017.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return root


def make_uav123(root: Path, frames: int = 6) -> Path:
    """UAV123 below ``root``: one video with a NaN box in frame 2."""
    folder = root / 'data_seq' / 'UAV123' / 'bike1'
    boxes = write_frames(folder, [f'{i + 1:06d}.jpg' for i in range(frames)], seed=1)
    lines = [','.join(str(value) for value in box) for box in boxes]
    lines[2] = 'NaN,NaN,NaN,NaN'
    write_lines(root / 'anno' / 'UAV123' / 'bike1.txt', lines)
    info = f'data_seq/UAV123/bike1,anno/UAV123/bike1.txt,1,{frames}'
    write_lines(root / 'annotations' / 'uav123_infos.txt', [HEADER, info])
    return root


def make_otb100(root: Path, frames: int = 6) -> Path:
    """OTB100 below ``root``: its two odd sequences and one with tabs between the numbers."""
    lines = [HEADER]
    for name, digits, first in (('Basketball', 4, 1), ('Board', 5, 1), ('Tiger1', 4, 6)):
        folder = root / 'data' / name
        names = [f'{i + 1:0{digits}d}.jpg' for i in range(frames + first - 1)]
        boxes = write_frames(folder / 'img', names, seed=len(name))
        between = '\t' if name == 'Basketball' else ','
        write_lines(
            folder / 'groundtruth_rect.txt', [between.join(map(str, box)) for box in boxes.tolist()]
        )
        path = f'data/{name}'
        lines.append(f'{path}/img,{path}/groundtruth_rect.txt,{first},{len(names)}')
    write_lines(root / 'annotations' / 'otb100_infos.txt', lines)
    return root
