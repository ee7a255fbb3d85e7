"""A conversation with the toolkit, played from its side."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmtrack_mixformerv2.datasets import read_frame
from mmtrack_mixformerv2.tracking import StillBox, TrackResult
from mmtrack_mixformerv2.vot import Message, format_message, parse_message, serve, toolkit_streams

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/mixformerv2/mixformerv2-tiny_test-synthetic.py'
CHECKPOINT = ROOT / 'weights/mixformerv2-tiny_synthetic.pth'
BOX = '20,30,24,16'


class Walker:
    """Moves its box by a pixel per frame, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen = []

    def init(self, frame, box_xywh):
        self.seen.append(frame)
        return np.array(box_xywh)

    def track(self, frame, state):
        self.seen.append(frame)
        state += [1, 0, 0, 0]
        return TrackResult(state.copy(), 0.25, False)


class Broken(StillBox):
    def track(self, frame, state):
        raise RuntimeError('out of memory\non device 0')


@pytest.fixture
def images(rendered) -> list[str]:
    """Three frames of 128 x 96 pixels, as the toolkit names them."""
    folder = rendered / 'train' / 'synthetic_train_000001'
    return [f'file://{folder}/{number:08d}.jpg' for number in (1, 2, 3)]


def talk(tracker, *messages: Message | str, **settings) -> tuple[int, list[Message]]:
    """Exit code and answers of a tracker to what the toolkit says."""
    lines = [m if isinstance(m, str) else format_message(m) for m in messages]
    outgoing = io.StringIO()
    load = tracker if callable(tracker) else lambda: tracker
    code = serve(load, io.StringIO(''.join(lines)), outgoing, **settings)
    return code, [parse_message(line) for line in outgoing.getvalue().splitlines()]


def initialize(image: str, region: str = BOX) -> Message:
    return Message('initialize', (image, region))


def frame(image: str) -> Message:
    return Message('frame', (image,))


def test_every_request_gets_one_answer(images):
    tracker = Walker()
    code, (hello, *states) = talk(
        tracker,
        'a line of something else\n',
        initialize(images[0]),
        frame(images[1]),
        frame(images[2]),
        initialize(images[2], '5,6,7,8'),  # the next anchor, in the same process
        frame(images[1]),
        Message('quit'),
        frame(images[0]),  # not read any more
        name='walker',
    )
    assert code == 0
    assert hello == Message(
        'hello',
        (),
        {
            'trax.version': '1',
            'trax.name': 'walker',
            'trax.region': 'rectangle',
            'trax.image': 'path',
        },
    )
    assert [state.arguments[0].split('.')[0] for state in states] == ['20', '21', '22', '5', '6']
    assert states[1] == Message(
        'state', ('21.0000,30.0000,24.0000,16.0000',), {'confidence': '0.250000'}
    )
    assert states[0].properties == {}  # the first frame has no score
    path = images[1].removeprefix('file://')
    assert np.array_equal(tracker.seen[1], read_frame(path)[..., ::-1])  # RGB
    assert len(tracker.seen) == 5


def test_masks_are_answered_with_filled_boxes(images):
    code, (hello, *states) = talk(
        StillBox(),
        initialize(images[0], 'mask:20,30,24,16,0,384'),
        frame(images[1]),
        initialize(images[0], '100.2,80,60,60'),  # reaches over the border
        region='mask',
    )
    assert code == 0  # the end of the input is an end, too
    assert hello.properties['trax.region'] == 'mask'
    regions = [state.arguments[0] for state in states]
    assert regions == ['mask:20,30,24,16,0,384'] * 2 + ['mask:100,80,28,16,0,448']
    assert all(state.properties == {} for state in states)  # no score


def test_an_unknown_region_is_refused():
    with pytest.raises(ValueError, match='expected one of rectangle, mask'):
        talk(StillBox(), region='polygon')


def test_polygons_start_a_sequence(images):
    _, (_, state) = talk(StillBox(), initialize(images[0], '20,30,44,30,44,46,20,46'))
    assert state.arguments == ('20.0000,30.0000,24.0000,16.0000',)


@pytest.fixture
def broken_images(tmp_path, images) -> dict[str, str]:
    (tmp_path / 'empty.jpg').touch()
    (tmp_path / 'text.jpg').write_text('no picture')
    other = read_frame(images[0].removeprefix('file://'))[:50]
    cv2.imwrite(str(tmp_path / 'other.png'), other)
    names = ('empty.jpg', 'text.jpg', 'other.png', 'missing.jpg')
    return {name: f'file://{tmp_path / name}' for name in names}


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('empty.jpg', r'empty.jpg \(0 bytes\) cannot be decoded'),
        ('text.jpg', 'text.jpg .* cannot be decoded'),
        ('missing.jpg', "named the image .*missing.jpg', which is no file"),
    ],
)
def test_an_unreadable_image_ends_the_conversation(images, broken_images, name, reason, capsys):
    for messages in ([initialize(broken_images[name])], [initialize(images[0]), frame]):
        if messages[-1] is frame:
            messages[-1] = frame(broken_images[name])
        expect_error(talk(StillBox(), *messages), reason, capsys)


@pytest.mark.parametrize('image', ['', 'http://host/1.jpg', 'image:2;2;rgb;AAAA'])
def test_images_that_are_no_files_are_refused(image, capsys):
    expect_error(talk(StillBox(), initialize(image)), 'expected a path that begins with', capsys)


@pytest.mark.parametrize(
    ('region', 'reason'),
    [
        ('20,30,0,16', 'expected a positive width'),
        ('200,30,10,16', 'entirely outside'),
        ('0', 'a target that is not in the image'),
        ('mask:0,0,4,4,16', 'has no pixel'),
        ('1,2,nan,4', 'cannot be read'),
    ],
)
def test_a_region_that_cannot_start_a_sequence(images, region, reason, capsys):
    expect_error(talk(StillBox(), initialize(images[0], region)), reason, capsys)


def test_what_a_tracker_raises_is_told_in_one_line(images, capsys):
    result = talk(Broken(), initialize(images[0]), frame(images[1]))
    expect_error(result, '^out of memory on device 0$', capsys)


def test_a_tracker_that_cannot_be_loaded_says_so_after_hello(capsys):
    def load():
        raise FileNotFoundError('no weights here')

    result = talk(load)
    assert [message.kind for message in result[1]] == ['hello', 'quit']
    expect_error(result, '^no weights here$', capsys)


def test_messages_out_of_turn_are_refused(images, capsys):
    result = talk(StillBox(), frame(images[0]))
    expect_error(result, "sent 'frame', expected initialize or quit", capsys)
    result = talk(StillBox(), initialize(images[0]), Message('state', (BOX,)))
    expect_error(result, "sent 'state', expected frame, initialize or quit", capsys)
    expect_error(talk(StillBox(), '@@TRAX:frame\n'), 'has 0 arguments', capsys)


def expect_error(result, reason: str, capsys) -> None:
    code, messages = result
    assert code == 1
    assert messages[-1].kind == 'quit'
    assert re.search(reason, messages[-1].properties['trax.reason'])
    assert 'Traceback' in capsys.readouterr().err


def test_a_port_takes_the_place_of_the_standard_streams(images, monkeypatch):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        monkeypatch.setenv('TRAX_SOCKET', str(listener.getsockname()[1]))

        def run():
            with toolkit_streams() as (incoming, outgoing):
                serve(StillBox, incoming, outgoing)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        connection, _ = listener.accept()
        with connection, connection.makefile('rw', encoding='utf-8') as stream:
            assert parse_message(stream.readline()).kind == 'hello'
            stream.write(format_message(initialize(images[0])) + format_message(Message('quit')))
            stream.flush()
            assert parse_message(stream.readline()).kind == 'state'
            assert stream.readline() == ''
        thread.join(60)
        assert not thread.is_alive()


def test_the_tool_prints_nothing_but_the_protocol(images, tmp_path):
    config = tmp_path / 'noisy.py'
    config.write_text(
        f"_base_ = r'{CONFIG}'\n"
        "print('noise of Python')\n"
        "__import__('os').system('echo noise of C')\n"
    )
    options = ['--cfg-options', 'model.test_cfg.update_interval=10']
    messages = [initialize(images[0], '40,30,50,40'), frame(images[1]), Message('quit')]
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools/vot/track.py'), str(config), str(CHECKPOINT), *options],
        input=''.join(map(format_message, messages)),
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert 'noise of Python' in result.stderr and 'noise of C' in result.stderr
    answers = [parse_message(line) for line in result.stdout.splitlines()]
    assert [answer.kind for answer in answers] == ['hello', 'state', 'state']
    assert answers[0].properties['trax.name'] == 'noisy'
