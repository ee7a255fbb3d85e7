"""``mixformerv2 track``: from a video to files, and what is left when something goes wrong."""

from __future__ import annotations

import csv
import importlib.util
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mjpeg_server import serve_frames
from small_tracker import write_small_tracker

import mixformerv2_cli
from mmtrack_mixformerv2.apis import Tracker
from mmtrack_mixformerv2.cli import main
from mmtrack_mixformerv2.outputs.track_files import read_json
from mmtrack_mixformerv2.video import count_frames, open_source, read_frames, write_video

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from toy_graphs import write_toy

BOX, OTHER = (28, 33, 24, 24), (70, 20, 30, 40)
SIZE = (90, 120)  # height and width
DEADLINE = 60  # seconds; the machine may be busy


def disc(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    picture = np.full((*size, 3), 60, np.uint8)
    return cv2.circle(picture, (40 + 3 * (index % 20), 45), 12, (30, 200, 250), -1)


def write_pictures(folder: Path, count: int = 9) -> Path:
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f'{index}.png'), disc(index))
    return folder


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> Path:
    return write_toy(tmp_path_factory.mktemp('toy'))


@pytest.fixture(scope='module')
def clip(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp('clip') / 'clip', map(disc, range(12)), 12.5)


@pytest.fixture
def track(toy, tmp_path, capsys):
    """Runs the command; gives the exit code, what it printed, and its complaint."""

    def run(source, *options, init=(BOX,), model=None):
        boxes = [word for box in init for word in ('--init', ','.join(map(str, box)))]
        argv = ['track', source, *boxes, '--model', model or toy, '--out', tmp_path / 'out']
        code = main([str(word) for word in [*argv, '--quiet', *options]])
        return code, *capsys.readouterr()

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestOutputs:
    def test_a_video_becomes_four_files_that_agree(self, track, toy, clip, tmp_path):
        code, said, _ = track(clip)
        out = tmp_path / 'out'
        assert code == 0 and '12 frames' in said and 'end of the source' in said
        video = next(out.glob('clip_tracked.*'))
        assert names_in(out) == sorted(['clip.csv', 'clip.json', 'clip.txt', video.name])
        results = list(Tracker(toy, color='bgr').track(clip, BOX))
        expected = [result.box_xywh for result in results]

        boxes = np.loadtxt(out / 'clip.txt', delimiter=',')
        np.testing.assert_allclose(boxes, expected, atol=1e-4)
        assert tuple(boxes[0]) == BOX
        rows = rows_of(out / 'clip.csv')
        table = [[float(row[key]) for key in 'xywh'] for row in rows]
        np.testing.assert_allclose(table, expected, atol=1e-4)
        assert [row['frame'] for row in rows] == [str(index) for index in range(12)]
        assert [row['state'] for row in rows] == [result.state.value for result in results]
        assert rows[0]['score'] == '' and float(rows[1]['score']) == pytest.approx(
            results[1].score, abs=1e-6
        )
        run = read_json(out / 'clip.json')
        assert (run.source, run.model, run.rate) == (str(clip), 'toy', 12.5)
        assert (run.frame_size, run.ended) == ((120, 90), 'end of the source')
        assert run.versions['cv2'] == cv2.__version__
        np.testing.assert_allclose(run.tracks[0].boxes_xywh, expected, atol=1e-4)
        assert count_frames(video) == 12
        assert next(read_frames(video)).shape == (*SIZE, 3)
        assert all(str(out / name) in said for name in names_in(out))

    def test_each_target_has_its_own_file(self, track, clip, tmp_path):
        assert track(clip, '--name', 'two', init=[BOX, OTHER])[0] == 0
        rows = rows_of(tmp_path / 'out' / 'two.csv')
        assert [row['target'] for row in rows] == ['1', '2'] * 12
        for number, box in enumerate((BOX, OTHER), start=1):
            boxes = np.loadtxt(tmp_path / 'out' / f'two_{number}.txt', delimiter=',')
            assert len(boxes) == 12 and tuple(boxes[0]) == box
        run = read_json(tmp_path / 'out' / 'two.json')
        assert [log.name for log in run.tracks] == ['target 1', 'target 2']

    def test_only_what_is_asked_for_is_written(self, track, clip, tmp_path):
        assert track(clip, '--formats', 'csv', '--no-video', '--max-frames', '3')[0] == 0
        assert names_in(tmp_path / 'out') == ['clip.csv']
        assert len(rows_of(tmp_path / 'out' / 'clip.csv')) == 3

    def test_a_config_and_weights_in_the_published_way(self, track, clip, tmp_path):
        config, weights = write_small_tracker(tmp_path)
        options = '--checkpoint', weights, '--no-states', '--device', 'cpu', '--edges'
        code, _, complaint = track(clip, *options, '--max-frames', '4', model=config)
        assert code == 0, complaint
        log = read_json(tmp_path / 'out' / 'clip.json').tracks[0]
        assert log.states == [None] * 4
        assert np.isfinite(log.scores[1:]).all() and np.isnan(log.confidences).all()
        assert log.results[1].edges.probabilities.shape == (4, 16)

    def test_results_that_exist_are_kept(self, track, clip, tmp_path):
        assert track(clip, '--max-frames', '2')[0] == 0
        before = {path: path.read_bytes() for path in (tmp_path / 'out').iterdir()}
        code, _, complaint = track(clip)
        assert code == 1 and 'clip.txt and 3 more would be overwritten' in complaint
        assert {path: path.read_bytes() for path in (tmp_path / 'out').iterdir()} == before
        assert track(clip, '--force')[0] == 0
        assert len(rows_of(tmp_path / 'out' / 'clip.csv')) == 12

    def test_several_targets_do_not_mix_with_one(self, track, clip, tmp_path):
        assert track(clip, '--formats', 'txt', '--no-video')[0] == 0
        assert track(clip, '--formats', 'txt', '--no-video', init=[BOX, OTHER])[0] == 0
        assert names_in(tmp_path / 'out') == ['clip.txt', 'clip_1.txt', 'clip_2.txt']


class TestSources:
    def test_folders_and_patterns(self, track, tmp_path):
        folder = write_pictures(tmp_path / 'pictures')
        assert track(folder, '--name', 'folder')[0] == 0
        assert track(f'{folder}/*.png', '--name', 'pattern')[0] == 0
        texts = [(tmp_path / 'out' / f'{name}.txt').read_text() for name in ('folder', 'pattern')]
        assert texts[0] == texts[1] and texts[0].count('\n') == 9

    def test_the_target_may_be_in_a_file(self, track, clip, tmp_path):
        truth = tmp_path / 'groundtruth.txt'
        truth.write_text('28\t33\t24\t24\r\n29\t33\t24\t24\r\n')
        assert track(clip, '--init-file', truth, init=[])[0] == 0
        assert (tmp_path / 'out' / 'clip.txt').read_text().startswith('28.0000,33.0000,24.0000,24')

    def test_a_stream(self, track, tmp_path):
        with serve_frames([disc(index) for index in range(6)]) as address:
            code, said, _ = track(address)
        assert code == 0 and '6 frames' in said
        assert len(rows_of(tmp_path / 'out' / 'live.csv')) == 6


def test_the_demo_takes_the_options_of_mmtracking(toy, clip, tmp_path, capsys):
    path = Path(mixformerv2_cli.__file__).parent / 'demo' / 'demo_sot.py'
    spec = importlib.util.spec_from_file_location('demo_sot', path)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    truth = tmp_path / 'boxes.txt'
    truth.write_text('28,33,24,24\n')
    where = ['--input', str(clip), '--gt_bbox_file', str(truth), '--output', str(tmp_path / 'out')]
    assert demo.main([str(toy), *where, '--fps', '5']) == 0
    video = next((tmp_path / 'out').glob('clip_tracked.*'))
    assert str(video) in capsys.readouterr().out
    with open_source(video) as source:
        assert (source.rate, source.count) == (5, 12)


MISTAKES = {
    'no file': (['nowhere.mp4'], 'nowhere.mp4 does not exist'),
    'no camera': (['97'], 'camera 97 gives no pictures'),
    'no video': (['TEXT'], 'cannot be decoded as a video'),
    'outside': (['CLIP', '--init', '500,500,9,9'], 'lies entirely outside of the frame'),
    'empty': (['CLIP', '--init', '5,5,0,9'], 'box'),
    'corners': (['CLIP', '--init', '50,50,-20,-30'], 'box'),
    'no numbers': (['CLIP', '--init-file', 'TEXT'], 'text has no numbers, expected x,y,width'),
    'no init file': (['CLIP', '--init-file', 'nowhere.txt'], 'nowhere.txt: No such file'),
    'a rate': (['CLIP', '--rate', '0'], '--rate is 0.0, expected 0.1 to 1000 frames per second'),
    'an endless rate': (['CLIP', '--rate', 'inf'], '--rate is inf, expected 0.1 to 1000'),
    'a name that leads away': (['CLIP', '--name', '../x'], "--name is '../x', expected a name"),
    'an empty source': ([''], 'the source is empty'),
    'a model': (['CLIP', '--model', 'mixformerv2-tny'], 'mixformerv2-tiny'),
    'a folder that is a file': (['CLIP', '--out', 'TEXT/out'], 'is a file, expected a folder'),
}


class TestMistakes:
    @pytest.mark.parametrize('name', MISTAKES)
    def test_are_one_line_and_leave_nothing(self, toy, clip, tmp_path, capfd, name):
        (tmp_path / 'text').write_text('no video')
        words, message = MISTAKES[name]
        words = [
            word.replace('CLIP', str(clip)).replace('TEXT', str(tmp_path / 'text'))
            for word in words
        ]
        init = [] if any(word.startswith('--init') for word in words) else ['--init', '28,33,24,24']
        argv = ['track', '--model', str(toy), '--out', str(tmp_path / 'out'), '--quiet', *init]
        assert main([*argv, *words]) == 1
        said, complaint = capfd.readouterr()
        assert message in complaint and complaint.startswith('error: ') and said == ''
        assert complaint.count('\n') == 1 and 'Traceback' not in complaint
        assert names_in(tmp_path) == ['text']

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ([], 'one of the arguments --init --select --init-file is required'),
            (['--init', '1,2,3'], "'1,2,3' is not x,y,width,height"),
            (['--init', '1,2,3,4', '--formats', 'txt,xml'], "'xml' is none of txt, csv, json"),
            (['--init', '1,2,3,4', '--max-frames', '0'], 'whole number from 1 up'),
        ],
    )
    def test_wrong_options(self, capsys, options, message):
        with pytest.raises(SystemExit) as raised:
            main(['track', 'clip.mp4', *options])
        assert raised.value.code == 2 and message in capsys.readouterr().err

    @pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere there may be a screen')
    @pytest.mark.parametrize('option', ['--select', '--show'])
    def test_no_screen(self, clip, capsys, monkeypatch, option):
        for variable in ('DISPLAY', 'WAYLAND_DISPLAY', 'QT_QPA_PLATFORM'):
            monkeypatch.delenv(variable, raising=False)
        init = [] if option == '--select' else ['--init', '1,2,3,4']
        assert main(['track', str(clip), option, *init]) == 1
        assert f'error: {option} needs a window, and none can be opened' in capsys.readouterr().err


class TestPartialResults:
    def check(self, out: Path, frames: int, ended: str) -> None:
        """All files are whole, and of this many frames."""
        run = read_json(next(out.glob('*.json')))
        assert ended in run.ended and len(run.tracks[0]) == frames
        assert len(rows_of(next(out.glob('*.csv')))) == frames
        assert np.loadtxt(next(out.glob('*.txt')), delimiter=',').shape == (frames, 4)
        assert sum(1 for _ in read_frames(next(out.glob('*_tracked.*')))) == frames
        assert len(names_in(out)) == 4

    def test_a_frame_of_another_size(self, track, tmp_path):
        folder = write_pictures(tmp_path / 'pictures')
        cv2.imwrite(str(folder / '6.png'), disc(6, (60, 80)))
        code, said, complaint = track(folder)
        assert code == 1 and 'error: frame 6 is 80 x 60 px' in complaint
        assert '6 frames' in said and 'pictures.json' in said
        self.check(tmp_path / 'out', 6, 'error: frame 6 is 80 x 60 px')

    def test_a_picture_that_is_broken(self, track, tmp_path):
        folder = write_pictures(tmp_path / 'pictures')
        (folder / '5.png').write_bytes(b'')
        code, _, complaint = track(folder)
        assert code == 1 and '5.png cannot be decoded as a picture' in complaint
        self.check(tmp_path / 'out', 5, '5.png cannot be decoded')

    def test_a_video_that_ends_early(self, track, tmp_path):
        path, noise = tmp_path / 'clip.avi', np.random.default_rng(0)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, SIZE[::-1])
        for _ in range(40):
            writer.write(noise.integers(0, 256, (*SIZE, 3), np.uint8))
        writer.release()
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        code, _, complaint = track(path)
        frames = len(rows_of(tmp_path / 'out' / 'clip.csv'))
        assert code == 1 and f'it says it has 40 frames, {frames} could be read' in complaint
        assert 10 < frames < 30
        self.check(tmp_path / 'out', frames, 'ended early')

    def test_a_disk_that_is_full(self, track, tmp_path):
        folder, limits = write_pictures(tmp_path / 'pictures', 60), None
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            code, said, complaint = track(folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert code == 1 and 'pictures.csv: File too large' in complaint
        assert 'frames' in said and complaint.count('\n') == 1
        written = said.split('written: ')[1].split(', ')
        assert len(written) == len(set(written))
        # The rows before are there; what could not be completed is not.
        rows = rows_of(tmp_path / 'out' / 'pictures.csv')
        assert 20 < len(rows) < 60 and rows[20]['frame'] == '20'
        assert not list((tmp_path / 'out').glob('.*')) and '.mp4' not in said

    def test_ctrl_c_in_an_endless_stream(self, toy, tmp_path):
        with serve_frames([disc(index) for index in range(20)], endless=True) as address:
            process = start(toy, address, tmp_path)
            wait_for_rows(process, tmp_path / 'out' / 'live.csv')
            process.send_signal(signal.SIGINT)
            said, complaint = process.communicate(timeout=DEADLINE)
        assert process.returncode == 130, complaint
        assert 'interrupted' in said and 'Traceback' not in complaint
        assert 'frame/s' in complaint and 'score 0.' in complaint  # the progress bar
        self.check(tmp_path / 'out', len(rows_of(tmp_path / 'out' / 'live.csv')), 'interrupted')

    def test_rows_survive_a_process_that_is_killed(self, toy, tmp_path):
        with serve_frames([disc(index) for index in range(20)], endless=True) as address:
            process = start(toy, address, tmp_path)
            wait_for_rows(process, tmp_path / 'out' / 'live.csv')
            process.kill()
            process.communicate(timeout=DEADLINE)
        rows = rows_of(tmp_path / 'out' / 'live.csv')
        boxes = np.loadtxt(tmp_path / 'out' / 'live.txt', delimiter=',')
        assert len(boxes) - len(rows) in (0, 1) and len(rows) >= 3
        assert tuple(boxes[0]) == BOX and None not in rows[-1].values()


def start(toy: Path, address: str, folder: Path) -> subprocess.Popen:
    """The command as a user starts it, without torch: the model is an exported one."""
    call = 'import sys, mixformerv2_cli; sys.exit(mixformerv2_cli.main())'
    argv = ['track', address, '--init', '28,33,24,24', '--model', toy, '--out', folder / 'out']
    return subprocess.Popen(
        [sys.executable, '-c', call, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(Path(mixformerv2_cli.__file__).parent)},
    )


def wait_for_rows(process: subprocess.Popen, path: Path) -> None:
    """Until there are some, however long the program takes to start."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if path.exists() and path.read_text().count('\n') > 5:
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f'there are no rows in {path}: {process.communicate()}')
