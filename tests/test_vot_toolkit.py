"""The real toolkit drives our tracker. It needs `make vot`, and is skipped without it."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from mmengine.config import Config
from test_vot_server import CHECKPOINT, CONFIG, ROOT
from tools_loader import load_tool

from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.datasets import read_frame
from mmtrack_mixformerv2.vot import format_filled_box, region_to_box

TOOLKIT = ROOT / '.venv-vot/bin/vot'
NAME = 'rendered_000001'
pytestmark = pytest.mark.skipif(
    not TOOLKIT.is_file(), reason='the VOT toolkit is not installed: make vot'
)


def vot(*arguments: str | Path) -> str:
    """What a command of the toolkit prints; it ends with 0 even if a tracker fails."""
    result = subprocess.run(
        [str(TOOLKIT), *map(str, arguments)],
        env={
            **os.environ,
            'PYTHONPATH': str(ROOT),
            'OMP_NUM_THREADS': '1',
            'VOT_RESULTS_BINARY': '0',  # regions as text
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return result.stdout.replace('\r', '\n')


def make_workspace(folder: Path, stack: str, frames: int, *options: str) -> Path:
    load_tool('vot/workspace').main(
        [str(folder), stack, str(CONFIG), str(CHECKPOINT), '--name', 'tiny', '--rendered', '1']
        + ['--frames', str(frames), *options]
    )
    return folder


def read_results(folder: Path, experiment: str, run: str) -> list[str]:
    path = folder / 'results' / 'tiny' / experiment / NAME / f'{NAME}_{run}.txt'
    return path.read_text().splitlines()


def track(folder: Path, frames: range) -> np.ndarray:
    """Boxes of the same tracker without the toolkit, all but the first."""
    tracker = load_tracker(Config.fromfile(CONFIG), str(CHECKPOINT))
    sequence = folder / 'sequences' / NAME
    images = [
        read_frame(str(sequence / 'color' / f'{frame + 1:08d}.jpg'))[..., ::-1] for frame in frames
    ]
    region = (sequence / 'groundtruth.txt').read_text().splitlines()[frames[0]]
    state = tracker.init(images[0], region_to_box(region))
    return np.array([tracker.track(image, state).box_xywh for image in images[1:]])


def only(folder: Path, experiment: str, settings: dict) -> None:
    """Leave one experiment of the stack, so that the toolkit can analyse without the others."""
    path = folder / 'config.yaml'
    config = yaml.safe_load(path.read_text())
    config['stack'] = {'title': 'one experiment', 'experiments': {experiment: settings}}
    path.write_text(yaml.safe_dump(config))


def test_boxes_of_a_multi_start_experiment_are_scored(tmp_path):
    folder = make_workspace(tmp_path / 'my space', 'vot2022/shorttermbox', 60)
    printed = vot('evaluate', '--workspace', folder, '--experiments', 'baseline', 'tiny')
    assert 'Evaluation concluded successfuly' in printed, printed
    # Frame 0 is an anchor for the way forward, frame 50 for the way back.
    for run, frames in (('00000000', range(60)), ('00000050', range(50, -1, -1))):
        first, *lines = read_results(folder, 'baseline', run)
        assert first == '1'  # the toolkit's code of an initialisation
        boxes = np.array([region_to_box(line) for line in lines])
        np.testing.assert_allclose(boxes, track(folder, frames), atol=1e-3)

    analyses = [{'type': 'multistart_average_ar', 'name': 'ar'}]
    only(folder, 'baseline', {'type': 'multistart', 'analyses': analyses})
    printed = vot('analysis', '--workspace', folder, '--name', 'scores', 'tiny')
    assert 'Analysis successful' in printed, printed
    results = json.loads((folder / 'analysis/scores.json').read_text())['results']
    accuracy, robustness, *_ = results['baseline']['results'][0][0]
    assert 0.5 < accuracy < 1 and 0.5 < robustness <= 1

    printed = vot('pack', '--workspace', folder, 'tiny')
    assert 'Result packaging successful' in printed, printed
    with zipfile.ZipFile(next(folder.glob('tiny_*.zip'))) as archive:
        assert f'baseline/{NAME}/{NAME}_00000050.txt' in archive.namelist()


def test_masks_are_asked_for_and_answered_with_filled_boxes(tmp_path):
    folder = make_workspace(tmp_path, 'vot2020/shortterm', 20)
    printed = vot('evaluate', '--workspace', folder, '--experiments', 'unsupervised', 'tiny')
    assert 'Evaluation concluded successfuly' in printed, printed
    _, *lines = read_results(folder, 'unsupervised', '001')
    boxes = track(folder, range(20))
    filled = [format_filled_box(box, 240, 320) for box in boxes]
    assert [region_to_box(line).tolist() for line in lines] == [
        region_to_box(region).tolist() for region in filled
    ]
    assert all(line.startswith('m') for line in lines)


def test_the_toolkit_says_why_a_tracker_failed(tmp_path):
    folder = make_workspace(tmp_path, 'vot2022/shorttermbox', 4)
    (folder / 'sequences' / NAME / 'color' / '00000003.jpg').write_bytes(b'')
    printed = vot('evaluate', '--workspace', folder, '--experiments', 'unsupervised', 'tiny')
    assert 'concluded' not in printed
    assert '00000003.jpg (0 bytes) cannot be decoded as an image' in printed
    (log,) = (folder / 'logs').glob('*.log')
    assert 'Traceback' in log.read_text()
