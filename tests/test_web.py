"""The page of ``mixformerv2 demo``: its work without Gradio, and the page itself in a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_tracker import write_small_tracker

from mmtrack_mixformerv2.apis import Tracker
from mmtrack_mixformerv2.cli import main
from mmtrack_mixformerv2.outputs.track_files import read_json
from mmtrack_mixformerv2.video import count_frames, read_frames, write_video
from mmtrack_mixformerv2.web.browser_video import BrowserVideo
from mmtrack_mixformerv2.web.clips import Clip, check_box, open_clip, render_clip
from mmtrack_mixformerv2.web.run import (
    draw_edge_picture,
    draw_timeline,
    find_telling_frame,
    summarize,
    track_clip,
)

FRAMES = 12
ROOT = Path(__file__).resolve().parents[1]
START = 'import sys, mixformerv2_cli; sys.exit(mixformerv2_cli.main())'


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> list[str]:
    """Config and weights of a small tracker, as the command takes them."""
    config, weights = write_small_tracker(tmp_path_factory.mktemp('small'))
    return ['--model', str(config), '--checkpoint', str(weights)]


@pytest.fixture(scope='module')
def video(tmp_path_factory) -> Path:
    """A clip of 14 frames of 96 x 72 px."""
    frames = [np.full((72, 96, 3), 10 * index, np.uint8) for index in range(FRAMES + 2)]
    return write_video(tmp_path_factory.mktemp('video') / 'my clip', frames)


def test_a_clip_is_tracked_and_shown(model, video, tmp_path):
    tracker = Tracker(model[1], model[3], color='bgr')
    clip = open_clip(video)
    assert clip.size == (96, 72)
    told = []
    run = track_clip(
        tracker,
        clip,
        (20, 20, 30, 30),
        tmp_path,
        max_frames=FRAMES,
        progress=lambda done, count: told.append((done, count)),
    )
    assert told == [(done, FRAMES) for done in range(1, FRAMES + 1)]
    assert count_frames(run.video) == FRAMES == count_frames(run.downloads['mp4'])
    (log,) = read_json(run.downloads['json']).tracks
    np.testing.assert_allclose(log.boxes_xywh, run.log.boxes_xywh, atol=1e-3)
    assert len(run.downloads['txt'].read_text().splitlines()) == FRAMES
    assert '<script>' in run.downloads['html'].read_text()
    assert f'{FRAMES} frames' in summarize(run) and 'only the first 12 frames of 14' in run.notes[0]
    assert draw_timeline(run, find_telling_frame(run)).axes
    for index in (0, FRAMES - 1):
        assert draw_edge_picture(run, index).shape == (72, 96, 3)


def test_what_was_tracked_before_a_broken_frame_is_kept(model, tmp_path):
    frames = [np.zeros((80, 80, 3), np.uint8)] * 3 + [np.zeros((90, 80, 3), np.uint8)]
    clip = Clip('changing', frames, frames[0], count=4)
    run = track_clip(
        Tracker(model[1], model[3], color='bgr'), clip, (5, 5, 20, 20), tmp_path, max_frames=9
    )
    assert len(run.log) == 3 == count_frames(run.video)
    assert 'It ended after frame 2: ' in run.notes[0] and '80 x 90 px' in summarize(run)


@pytest.mark.parametrize(
    'box, message',
    [
        ((0, 0, 0, 0), 'No object is marked'),
        ((1, 1, None, 5), 'No object is marked'),
        ((1, 1, float('nan'), 5), 'No object is marked'),
        ((50, 50, -10, 20), 'width and height must be above 0'),
        ((480, 10, 20, 20), 'outside of the frame, which is 480 x 360 px'),
        ((-30, 10, 20, 20), 'outside of the frame'),
        ((0, 0, 4000, 20), 'more than 2 times as large as the frame'),
    ],
)
def test_wrong_boxes_are_explained(box, message):
    with pytest.raises(ValueError, match=message):
        check_box(render_clip('easy', 0, 2), box)
    with pytest.raises(ValueError, match='There is no clip yet'):
        check_box(None, (1, 1, 5, 5))


def test_files_that_are_no_clip_are_refused(tmp_path):
    text, garbage = tmp_path / 'notes.txt', tmp_path / 'garbage.mp4'
    text.write_text('hello')
    garbage.write_bytes(bytes(range(256)) * 40)
    single = write_video(tmp_path / 'single', [np.zeros((64, 64, 3), np.uint8)])
    for path, message in (
        (None, 'There is no clip yet'),
        (text, 'notes.txt is not a video file'),
        (garbage, 'garbage.mp4 cannot be read as a video'),
        (tmp_path / 'gone.mp4', 'gone.mp4 cannot be read as a video'),
        (single, 'has a single frame'),
    ):
        with pytest.raises(ValueError, match=message):
            open_clip(path)


def test_generated_clips_are_what_was_asked_for():
    clip, again = render_clip('occlusion', 3, 4), render_clip('occlusion', 3, 4)
    np.testing.assert_array_equal(clip.source, again.source)
    assert clip.count == 4 and check_box(clip, clip.truth_xywh[0])
    with pytest.raises(ValueError, match='whole number from 0'):
        render_clip('easy', 1.5)
    with pytest.raises(ValueError, match='whole number from 0'):
        render_clip('easy', float('inf'))
    with pytest.raises(ValueError, match="'simple' is no kind of clip; choose from easy"):
        render_clip('simple', 0)


def test_large_frames_are_made_smaller_for_the_page(tmp_path):
    with BrowserVideo(tmp_path / 'a.webm', 25) as writer:
        for value in (0, 100, 200):
            writer.write(np.full((901, 1601, 3), value, np.uint8))
        path = writer.finish()
    frames = list(read_frames(path))
    assert [frame.shape for frame in frames] == [(360, 640, 3)] * 3
    assert abs(int(frames[2][180, 320, 1]) - 200) < 8


def test_a_port_in_use_and_a_missing_package_are_told(monkeypatch, capsys):
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setitem(sys.modules, 'gradio', None)
        assert main(['demo', '--port', str(port)]) == 1
        assert "pip install 'mmtrack_mixformerv2[demo]'" in capsys.readouterr().err
        monkeypatch.setattr('mmtrack_mixformerv2.web.server.check_gradio', lambda: None)
        assert main(['demo', '--port', str(port)]) == 1
        assert f'error: cannot listen on port {port} of 127.0.0.1' in capsys.readouterr().err
    for options in (['--port', '70000'], ['--max-frames', '1']):
        with pytest.raises(SystemExit):
            main(['demo', *options])


@pytest.fixture(scope='module')
def address(exported_tracker, tmp_path_factory) -> Iterator[str]:
    """Where the command serves the page; at the end it is asked to stop, and must tidy up.

    With an exported model, since a process that imports no torch starts sooner.
    """
    pytest.importorskip('gradio')
    folder = tmp_path_factory.mktemp('server')
    options = ['--model', str(exported_tracker), '--port', '0', '--max-frames', str(FRAMES)]
    with (folder / 'errors').open('w+') as errors:
        process = subprocess.Popen(
            [sys.executable, '-c', START, 'demo', *options, '--no-browser'],
            env=dict(os.environ, TMPDIR=str(folder)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout.readline().startswith('loading')
            line = process.stdout.readline()
            assert line.startswith('http://127.0.0.1:'), (folder / 'errors').read_text()
            yield line.split()[0]
            assert list(folder.glob('mixformerv2_demo_*'))
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert 'Traceback' not in (folder / 'errors').read_text()
    assert not list(folder.glob('mixformerv2_demo_*'))


@pytest.fixture
def page(visit, address):
    """The page with its first clip, cut off from everything but this computer."""
    visit.page.route(
        lambda url: not url.startswith(address), lambda route: route.abort('internetdisconnected')
    )
    visit.page.goto(address)
    visit.page.wait_for_selector('#picker img')
    yield visit.page
    assert all(url.startswith(address) for url in visit.requests)
    # Gradio's own client says so whenever it closes a stream of events.
    visit.problems[:] = [text for text in visit.problems if 'Method not implemented' not in text]


def read_numbers(page) -> list[float]:
    return [float(field.input_value()) for field in page.locator('#numbers input').all()]


def drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over the first frame, between two places in parts of its width and height."""
    area = page.locator('#picker img').bounding_box()
    places = [
        (area['x'] + x * area['width'], area['y'] + y * area['height']) for x, y in (start, end)
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=3)
    page.mouse.up()


def wait_for_numbers(page, expected: list[float]) -> None:
    page.wait_for_function(
        """expected => [...document.querySelectorAll('#numbers input')].every(
            (field, index) => Math.abs(Number(field.value) - expected[index]) < 2)""",
        arg=expected,
    )


def test_a_generated_clip_in_the_browser(page):
    assert read_numbers(page) != [0, 0, 0, 0]  # the target is marked already
    drag(page, (0.75, 0.5), (0.25, 0.25))  # from the right bottom to the left top
    wait_for_numbers(page, [120, 90, 240, 90])

    page.get_by_label('width', exact=True).fill('48')
    page.wait_for_function("document.querySelector('.marked').style.width === '10%'")
    page.get_by_label('width', exact=True).fill('-5')
    page.click('#track')
    page.get_by_text('width and height must be above 0').wait_for()
    assert not page.locator('#video video').count()

    drag(page, (0.25, 0.25), (0.5, 0.5))
    wait_for_numbers(page, [120, 90, 120, 90])
    page.click('#track')
    page.wait_for_function("document.querySelector('#video video')?.readyState >= 2")
    page.wait_for_function("document.querySelector('#timeline img')?.naturalWidth > 100")
    page.wait_for_function("document.querySelector('#edges img')?.naturalWidth > 100")
    page.get_by_text(f'{FRAMES} frames').wait_for()
    with page.expect_download() as download:
        page.click('#save_json')
    (log,) = read_json(download.value.path()).tracks
    np.testing.assert_allclose(log.boxes_xywh[0], [120, 90, 120, 90], atol=2)
    with page.expect_download() as download:
        page.click('#save_html')
    assert download.value.suggested_filename == 'easy-2_report.html'


def test_uploads_in_the_browser(page, video, tmp_path):
    garbage = tmp_path / 'garbage.mp4'
    garbage.write_bytes(bytes(range(256)) * 40)
    page.get_by_role('tab', name='Your video').click()
    page.locator('#upload input[type=file]').set_input_files(garbage)
    page.get_by_text('garbage.mp4 cannot be read as a video').wait_for()

    page.locator('#upload input[type=file]').set_input_files(video)
    wait_for_numbers(page, [0, 0, 0, 0])
    page.click('#track')
    page.get_by_text('No object is marked').wait_for()
    drag(page, (0.25, 0.25), (0.75, 0.75))
    wait_for_numbers(page, [24, 18, 48, 36])
    page.click('#track')
    page.get_by_text('only the first 12 frames of 14 were tracked').wait_for()
    page.wait_for_function("document.querySelector('#video video')?.videoWidth === 96")
