"""The client where nothing is installed but NumPy, OpenCV and one runtime."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_tracker import lively_tracker

import mmtrack_mixformerv2
from mmtrack_mixformerv2.synthetic import render_sequence
from mmtrack_mixformerv2.tracking import Tracker

# What is imported by each runtime besides the standard library; their packages ask for more.
MODULES = {
    'onnxruntime': ['numpy', 'cv2', 'onnxruntime'],
    'openvino': ['numpy', 'cv2', 'openvino', 'openvino_telemetry', 'packaging'],
}
SCRIPT = """
import importlib.util, sys
site, folder, clip, out, backend = sys.argv[1:]
sys.path.append(site)
for name in ('torch', 'mmengine', 'mmtrack', 'mmcv', 'mmdet', 'tabulate'):
    assert importlib.util.find_spec(name) is None, name

import numpy as np
from mmtrack_mixformerv2.runtime import open_exported

with np.load(clip) as data:
    frames, boxes = data['frames'], data['boxes']
tracker = open_exported(folder, backend=backend)
tracker.init(frames[0], boxes)
np.save(out, [[one.box_xywh for one in tracker.update(frame)] for frame in frames[1:]])

try:
    import mmtrack_mixformerv2
    mmtrack_mixformerv2.models
except ImportError as error:
    assert 'needs MMTracking, which is not installed' in str(error), error
else:
    raise AssertionError('the models came without MMTracking')
"""
COMMAND_LINE = """
import runpy, sys, warnings
warnings.simplefilter('error')
sys.path.append(sys.argv.pop(1))
runpy.run_module('mmtrack_mixformerv2.runtime.client', run_name='__main__', alter_sys=True)
"""


@pytest.fixture(params=MODULES)
def site(request, tmp_path) -> Path:
    """A folder with links to what one runtime needs, and to nothing else."""
    pytest.importorskip(request.param)
    folder = tmp_path / request.param
    folder.mkdir()
    (folder / 'mmtrack_mixformerv2').symlink_to(Path(mmtrack_mixformerv2.__file__).parent)
    packages = importlib.metadata.packages_distributions()
    names = {package for module in MODULES[request.param] for package in packages[module]}
    parts = {}
    for package in map(importlib.metadata.distribution, names):
        parts.update({path.parts[0]: package for path in package.files})
    for part in parts.keys() - {'..', '__pycache__'}:
        (folder / part).symlink_to(parts[part].locate_file(part))
    return folder


def run_alone(script: str, *argv: object) -> subprocess.CompletedProcess:
    """Without the folders of the environment, of the user and of variables."""
    command = [sys.executable, '-I', '-S', '-c', script, *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_it_tracks_as_torch_does(exported_tracker, site, tmp_path):
    clip = render_sequence(3, 1, 'easy', num_frames=12, size=(160, 120))
    frames, box = clip.frames[..., ::-1], clip.boxes_xywh[0]
    boxes = [box, box + [12, -8, 6, 4]]
    tracker = Tracker(lively_tracker(depth=2).loop)
    tracker.init(frames[0], boxes)
    rows = [tracker.update(frame) for frame in frames[1:]]
    assert any(one.template_updated for row in rows for one in row)
    np.savez(tmp_path / 'clip.npz', frames=frames, boxes=boxes)
    out = tmp_path / 'boxes.npy'
    run_alone(SCRIPT, site, exported_tracker, tmp_path / 'clip.npz', out, site.name)
    expected = np.array([[one.box_xywh for one in row] for row in rows])
    np.testing.assert_allclose(np.load(out), expected, rtol=0, atol=1e-3)


def test_the_command_line_runs(exported_tracker, site, tmp_path):
    import cv2

    clip = render_sequence(3, 1, 'easy', num_frames=3, size=(160, 120))
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    for index, frame in enumerate(clip.frames):
        cv2.imwrite(str(pictures / f'{index}.png'), frame)
    init = ','.join(map(str, clip.boxes_xywh[0]))
    argv = [exported_tracker, pictures, '--init', init, '--backend', site.name]
    done = run_alone(COMMAND_LINE, site, *argv)
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.startswith('3 frames, ')
