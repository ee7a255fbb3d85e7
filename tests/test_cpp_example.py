"""The C++ example is built, and gives the boxes of the Python client."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

from toy_graphs import write_toy  # noqa: E402

from mmtrack_mixformerv2.datasets.frame_files import list_frames  # noqa: E402
from mmtrack_mixformerv2.runtime import open_exported  # noqa: E402
from mmtrack_mixformerv2.synthetic import render_sequence  # noqa: E402
from mmtrack_mixformerv2.tracking import TrackingSettings  # noqa: E402

SOURCE = Path(__file__).resolve().parents[1] / 'examples' / 'cpp'
FRAMES = 14
TOLERANCE = 0.01  # pixels


@pytest.fixture(scope='module')
def program(tmp_path_factory) -> Path:
    """The built example; skips where something is missing that it is built from."""
    if missing := [tool for tool in ('cmake', 'c++') if not shutil.which(tool)]:
        pytest.skip(f'{" and ".join(missing)} not found, with which the example is built')
    build = tmp_path_factory.mktemp('build')
    # The library that the Python client runs, where its package has it.
    libraries = sorted((Path(onnxruntime.__file__).parent / 'capi').glob('libonnxruntime.so.*'))
    configured = run(
        'cmake', '-S', SOURCE, '-B', build, *(f'-DONNXRUNTIME_LIBRARY={one}' for one in libraries)
    )
    if not_found := re.search(r'\w[\w ]+ was not found;[^.]*', configured.stderr):
        pytest.skip(' '.join(not_found[0].split()))
    assert configured.returncode == 0, configured.stderr
    built = run('cmake', '--build', build, '--parallel', '2')
    assert built.returncode == 0, built.stdout + built.stderr
    assert 'warning:' not in built.stdout + built.stderr
    return build / 'mixformerv2_track'


@pytest.fixture(scope='module')
def clip(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A folder of lossless frames whose names sort as people sort, and the first box."""
    folder = tmp_path_factory.mktemp('clip')
    sequence = render_sequence(2, 0, 'medium', FRAMES, (200, 160))
    for number, frame in enumerate(sequence.frames, start=1):
        cv2.imwrite(str(folder / f'img{number}.png'), frame)
    (folder / 'notes.txt').write_text('no picture')
    return folder, sequence.boxes_xywh[0]


def run(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


def track(program: Path, model: Path, frames: object, box: Sequence[float]) -> np.ndarray:
    """Boxes that the program writes, ``(N, 4)``."""
    out = model / 'boxes.txt'
    done = run(program, model, frames, '--init', as_words(box), '--out', out, '--threads', 1)
    assert done.returncode == 0, done.stderr
    return np.loadtxt(out, delimiter=',')


def as_words(box: Sequence[float]) -> str:
    return ','.join(str(float(value)) for value in box)


def track_in_python(
    model: Path, frames: Iterator[np.ndarray], box: Sequence[float]
) -> tuple[np.ndarray, list[int]]:
    """Boxes of the Python client for BGR frames, and after which frames templates changed."""
    tracker = open_exported(model, num_threads=1)
    tracker.init(next(frames)[..., ::-1], box)
    results = [tracker.update(frame[..., ::-1]) for frame in frames]
    updates = [number for number, one in enumerate(results, start=1) if one.template_updated]
    return np.stack([box, *(one.box_xywh for one in results)]), updates


def read_folder(folder: Path) -> Iterator[np.ndarray]:
    return (cv2.imread(str(folder / name)) for name in list_frames(folder))


def read_video(path: Path) -> Iterator[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    while (frame := video.read()[1]) is not None:
        yield frame


def change(path: Path, **strings: str | None) -> None:
    """Change the metadata of a graph; None takes a key away."""
    model = onnx.load(path)
    values = {one.key: one.value for one in model.metadata_props}
    values.update({f'mixformerv2.{key}': value for key, value in strings.items()})
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: value for key, value in values.items() if value})
    onnx.save(model, path)


@pytest.mark.parametrize(
    ('settings', 'updates'),
    [
        (dict(num_online_templates=0), []),
        # No frame reaches the threshold before the update at 3, and none between 9 and 12.
        (dict(num_online_templates=1, update_interval=3, score_threshold=0.225), [6, 9, 12]),
        (dict(num_online_templates=2, update_interval=3, max_score_decay=0.9), [3, 6, 9, 12]),
        (dict(search_factor=3.3, template_factor=1.7, score_threshold=1.0), []),
    ],
)
def test_boxes_and_templates_are_those_of_the_python_client(
    settings, updates, program, clip, tmp_path
):
    folder, box = clip
    model = write_toy(
        tmp_path / 'toy', settings=TrackingSettings(**dict(dict(score_threshold=0.1), **settings))
    )
    expected, updated = track_in_python(model, read_folder(folder), box)
    assert updated == updates
    assert np.ptp(expected, axis=0).max() > 1  # the box moves
    np.testing.assert_allclose(track(program, model, folder, box), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    'box', [(-20.5, -12, 60, 41), (170, 130.5, 80, 90), (0, 0, 200, 160), (90, 70, 3, 300)]
)
def test_crops_over_the_border(box, program, clip, tmp_path):
    model = write_toy(tmp_path / 'toy')
    expected, _ = track_in_python(model, read_folder(clip[0]), box)
    np.testing.assert_allclose(track(program, model, clip[0], box), expected, atol=TOLERANCE)


def test_a_tracker_that_torch_exported(program, clip, tmp_path):
    pytest.importorskip('onnxscript')
    from small_tracker import lively_tracker

    from mmtrack_mixformerv2.deployment.onnx_export import export_onnx

    folder, box = clip
    model = tmp_path / 'exported'
    for graph in export_onnx(lively_tracker(), model)[:2]:
        change(graph, score_threshold='0.0')
    expected, updated = track_in_python(model, read_folder(folder), box)
    assert len(updated) > 1
    assert np.ptp(expected, axis=0).max() > 1
    np.testing.assert_allclose(track(program, model, folder, box), expected, atol=TOLERANCE)


def test_patterns_and_videos(program, clip, tmp_path):
    folder, box = clip
    model = write_toy(tmp_path / 'toy')
    boxes = track(program, model, folder, box)
    assert np.array_equal(track(program, model, folder / '*.png', box), boxes)

    video = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*'MJPG'), 25, (200, 160))
    for frame in read_folder(folder):
        writer.write(frame)
    writer.release()
    expected, _ = track_in_python(model, read_video(video), box)
    # Two versions of OpenCV may decode a pixel differently.
    np.testing.assert_allclose(track(program, model, video, box), expected, atol=0.1)


def test_boxes_go_to_the_screen_without_out(program, clip, tmp_path):
    model = write_toy(tmp_path / 'toy')
    done = run(program, model, clip[0], '--init', '40,30,50,60')
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == '40.0000,30.0000,50.0000,60.0000'
    assert len(done.stdout.splitlines()) == FRAMES
    assert f'{FRAMES - 1} frames tracked' in done.stderr


def test_help_explains_every_option(program):
    done = run(program, '--help')
    assert done.returncode == 0
    assert all(word in done.stdout for word in ('MODEL', 'FRAMES', '--init', '--out', '--threads'))


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ((), 'expected MODEL and FRAMES, got 0'),
        (('{model}', '{clip}'), '--init is missing'),
        (('{model}', '{clip}', '--init', '1,2,3'), 'expected four numbers'),
        (('{model}', '{clip}', '--init', '1,2,3,4,5'), 'no more than four'),
        (('{model}', '{clip}', '--init'), '--init needs a value'),
        (('{model}', '{clip}', '--init', '1,2,3,4', '--threads', '0'), 'an integer >= 1'),
        (('{model}', '{clip}', '--fast'), 'no option --fast'),
        (('{model}', 'nowhere', '--init', '1,2,3,4'), 'no file or folder nowhere'),
        (('{model}', '{model}', '--init', '1,2,3,4'), 'has no pictures'),
        (('{model}', '{clip}/notes.txt', '--init', '1,2,3,4'), 'cannot open the video'),
        (('{model}', '{clip}', '--init', '500,2,3,4'), 'inside of the frame of 200 x 160'),
        (('{model}', '{clip}', '--init', '1,2,3,4', '--out', '{clip}'), 'cannot write'),
        (('nowhere', '{clip}', '--init', '1,2,3,4'), 'tools/deployment/export.py'),
    ],
)
def test_wrong_arguments(words, message, program, clip, tmp_path):
    model = write_toy(tmp_path / 'toy')
    done = run(program, *(word.format(model=model, clip=clip[0]) for word in words))
    assert done.returncode in (1, 2)
    assert len(re.findall('^error: ', done.stderr, re.MULTILINE)) == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ('strings', 'message'),
    [
        (dict(format='2'), 'format 2, expected 1'),
        (dict(format=None), 'does not say its format'),
        (dict(graph='template'), 'search.onnx holds the template graph'),
        (dict(model_hash='cd' * 32), 'belong to different models'),
        (dict(search_size='16.5'), 'search_size = 16.5, expected a number >= 1'),
        (dict(update_interval='0'), 'update_interval = 0, expected a number >= 1'),
    ],
)
def test_models_of_another_kind(strings, message, program, clip, tmp_path):
    model = write_toy(tmp_path / 'toy')
    change(model / 'search.onnx', **strings)
    done = run(program, model, clip[0], '--init', '40,30,50,60')
    assert done.returncode == 1
    assert message in done.stderr
    assert 'export the tracker again' in done.stderr


def test_damaged_files_and_frames(program, clip, tmp_path):
    model = write_toy(tmp_path / 'toy')
    frames = shutil.copytree(clip[0], tmp_path / 'frames')
    small = cv2.imread(str(frames / 'img3.png'))[:100]
    cv2.imwrite(str(frames / 'img3.png'), small)
    words = (program, model, frames, '--init', '40,30,50,60')
    assert 'frame 2 is 200 x 100 px but the sequence began with 200 x 160' in run(*words).stderr

    (frames / 'img2.png').write_bytes(b'cut off')
    assert f'cannot read {frames / "img2.png"}' in run(*words).stderr

    graph = model / 'search.onnx'
    os.truncate(graph, graph.stat().st_size // 2)
    done = run(*words)
    assert done.returncode == 1
    assert 'cannot load' in done.stderr and 'search.onnx' in done.stderr
