"""The report page: in a real browser, from the command line, and as a hook of a test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from small_tracker import annotated_test, write_small_tracker
from toy_graphs import write_toy

from mmtrack_mixformerv2.cli import main
from mmtrack_mixformerv2.engine import ReportHook
from mmtrack_mixformerv2.explain.frame_album import AlbumLimits, FrameAlbum
from mmtrack_mixformerv2.explain.frame_explanation import FrameExplanation
from mmtrack_mixformerv2.explain.report import check_destination, write_report
from mmtrack_mixformerv2.outputs.track_files import TrackRun, write_json
from mmtrack_mixformerv2.tracking import EdgeDistributions, TargetState, TrackResult
from mmtrack_mixformerv2.tracking.track_log import TrackLog
from mmtrack_mixformerv2.video import open_source

COUNT, WIDTH, HEIGHT = 24, 160, 120
BOX = np.array([60.0, 40, 40, 40])
STATES = ['tracked'] * 10 + ['uncertain'] * 4 + ['lost'] * 6 + ['tracked'] * 4
EXPLAINED = 6
NASTY = '</script><script>window.hacked = 1</script><b>&'
TRACKED, LOST, PLAIN = (47, 214, 151), (255, 82, 119), (69, 180, 255)  # colors of the box


def make_frames(count: int = COUNT) -> list[np.ndarray]:
    """Grey frames, whose brightness is their number."""
    return [np.full((HEIGHT, WIDTH, 3), 60 + i, np.uint8) for i in range(count)]


def make_edges() -> EdgeDistributions:
    positions = np.tile(np.linspace(20, 140, 16), (4, 1))
    sides = np.array([BOX[0], BOX[1], BOX[0] + BOX[2], BOX[1] + BOX[3]])
    weights = np.exp(-((positions - sides[:, None]) ** 2) / 200)
    return EdgeDistributions(weights / weights.sum(axis=1, keepdims=True), positions)


def full_track(name: str) -> TrackLog:
    """Scores, states, an update after frame 5 and edges."""
    results = [TrackResult(BOX, None, False, TargetState.TRACKED)]
    for index, state in enumerate(STATES[1:], start=1):
        score = 0.9 if state == 'tracked' else 0.1
        results.append(TrackResult(BOX, score, index == 5, TargetState(state), 0.25, make_edges()))
    return TrackLog(name, results)


def bare_track(name: str, count: int = COUNT) -> TrackLog:
    """Boxes and no more, the last one far off."""
    return TrackLog(name, [TrackResult(BOX + 20 * (i > 20), None, False) for i in range(count)])


def make_explanation() -> FrameExplanation:
    """In the last layer, each token looks at one patch of the region, at (32, 12) to (112, 92)."""
    search, templates = np.zeros((2, 4, 4, 4), np.float32), np.zeros((2, 4, 2, 2, 2), np.float32)
    for token in range(4):
        search[:, token, 1, token] = 0.75
        templates[1, token, 0, 1, 1] = 0.2
    return FrameExplanation(
        crop=np.full((64, 64, 3), 90, np.uint8),
        region_xywh=(32.0, 12.0, 80.0, 80.0),
        templates=[np.full((32, 32, 3), 90, np.uint8)] * 2,
        search_attention=search,
        template_attention=templates,
        similarity=np.eye(4, dtype=np.float32),
        box_norm=np.array([0.25, 0.25, 0.75, 0.75]),
    )


def read_data(path: Path) -> dict:
    """What is embedded in a page."""
    text = path.read_text(encoding='utf-8')
    return json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL).group(1))


@pytest.fixture(scope='module')
def two_trackers(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('report') / f'a b {"&"}.html'
    return write_report(
        path,
        make_frames(),
        [full_track('first'), bare_track(NASTY)],
        explanations=[{EXPLAINED: make_explanation()}, None],
        truth_xywh=[*[BOX] * (COUNT - 1), [np.nan] * 4],
        title=f'clip {NASTY}',
        rate=10,
    )


class ReportPage:
    """What a user does on a report."""

    def __init__(self, visit, path: Path) -> None:
        self.visit, self.page = visit, visit.page
        self.page.goto(path.as_uri())
        self.wait(0)

    def wait(self, frame: int) -> None:
        self.page.locator(f'body[data-frame="{frame}"]').wait_for(state='attached')

    def slide(self, frame: int) -> None:
        self.page.locator('#slider').fill(str(frame))
        self.wait(frame)

    def pixel(self, x: float, y: float, panel: int = 0) -> np.ndarray:
        """Color on the picture, at a position in pixels of the video."""
        script = """(canvas, [x, y]) => {
            const copy = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
            copy.drawImage(canvas, -Math.round(x * canvas.width), -Math.round(y * canvas.width));
            return Array.from(copy.getImageData(0, 0, 1, 1).data);
        }"""
        canvas = self.page.locator('.panel canvas').nth(panel)
        return np.array(canvas.evaluate(script, [x / WIDTH, y / WIDTH])[:3])

    def row(self, table: str, name: str) -> list[str]:
        row = self.page.locator(f'#{table} tr', has=self.page.get_by_text(name, exact=True))
        return row.locator('td').all_inner_texts()


@pytest.fixture
def report(visit, two_trackers) -> ReportPage:
    return ReportPage(visit, two_trackers)


def near(color: np.ndarray, expected: tuple[int, ...]) -> bool:
    return np.abs(color - np.array(expected)).max() < 25


def test_the_slider_the_keys_and_the_timeline_move_all_trackers(report):
    page, corner = report.page, (BOX[0], BOX[1] + 20)
    assert near(report.pixel(5, 5), (60, 60, 60)) and near(report.pixel(*corner), PLAIN)
    report.slide(8)
    assert near(report.pixel(5, 5), (68, 68, 68)) and near(report.pixel(5, 5, 1), (68, 68, 68))
    assert near(report.pixel(*corner), TRACKED) and near(report.pixel(*corner, 1), PLAIN)
    assert page.locator('#slider').get_attribute('aria-valuetext') == 'frame 8, tracked'
    assert 'frame 8 of 23, 0.80 s' in page.locator('#position').inner_text()
    page.keyboard.press('ArrowRight')
    report.wait(9)
    page.keyboard.press('Shift+ArrowRight')
    report.wait(19)
    assert page.locator('.badge').first.inner_text() == 'lost'
    page.locator('h1').click()
    for key, frame in (('End', 23), ('Home', 0), ('n', 5), ('n', 10), ('p', 5)):
        page.keyboard.press(key)
        report.wait(frame)
    timeline = page.locator('svg.timeline').nth(1)
    bounds = timeline.bounding_box()
    x = 34 + (bounds['width'] - 44) * 14.5 / COUNT  # of the plot, beside the numbers
    timeline.click(position={'x': x, 'y': 50})
    report.wait(14)
    heads = page.locator('line.playhead')
    assert [float(heads.nth(i).get_attribute('x1')) for i in range(2)] == pytest.approx(
        [x] * 2, abs=1
    )
    assert report.visit.requests == []


def test_curves_bands_and_marks_are_those_of_the_track(report):
    first = report.page.locator('svg.timeline').first
    bands = first.locator('rect.band title').all_text_contents()
    assert bands == [
        'tracked: frames 0 to 9',
        'uncertain: frames 10 to 13',
        'lost: frames 14 to 19',
        'tracked: frames 20 to 23',
    ]
    assert first.locator('path.update title').all_text_contents() == ['template update: frame 5']
    score = first.locator('path.curve.score').get_attribute('d')
    heights = [float(point.split()[1]) for point in score[1:].split('L')]
    assert len(heights) == COUNT - 1 and heights[0] < 40 < 80 < heights[12]  # 0.9 is above 0.1
    second = report.page.locator('svg.timeline').nth(1)
    assert second.locator('.curve').count() == 1  # the overlap; there are neither scores nor states
    assert second.locator('.band, .update').count() == 0


def test_what_is_shown_can_be_chosen(report):
    page = report.page
    report.slide(EXPLAINED)
    peak = (BOX[0] + 3, BOX[1] - 4)  # under the curve of the left edge
    grey = (66, 66, 66)
    assert not near(report.pixel(*peak), grey)
    page.get_by_label('edge distributions').uncheck()
    page.get_by_label('search region', exact=True).uncheck()
    assert near(report.pixel(*peak), grey)
    page.get_by_label('annotation').uncheck()
    page.get_by_label('box', exact=True).uncheck()
    assert near(report.pixel(BOX[0], BOX[1] + 20), grey)
    page.select_option('#choose-overlay', 'bottom')  # at the fourth patch of the second row
    bright, dark = report.pixel(102, 42), report.pixel(42, 42)
    assert bright[0] > 180 > 60 > dark.max()
    page.select_option('#choose-overlay', 'left')
    assert report.pixel(42, 42)[0] > 180


def test_attention_is_shown_with_its_shares_and_follows_the_layer(report):
    page = report.page
    report.slide(EXPLAINED + 2)
    attention = page.locator('#attention')
    assert 'first, frame 6' in attention.inner_text()
    attention.get_by_role('button', name='Go there').click()
    report.wait(EXPLAINED)
    figures = attention.locator('figure')
    assert figures.count() == 6  # the input, four tokens, similarity
    caption = figures.nth(1).locator('figcaption')
    assert caption.inner_text() == 'left edge\nsearch 75%, templates 20%'
    assert figures.nth(1).locator('canvas').count() == 3
    page.select_option('#choose-layer', '0')
    page.get_by_text('templates 0%').first.wait_for()
    page.get_by_label('attention', exact=True).uncheck()
    attention.wait_for(state='hidden')


def test_tables_and_the_list_of_what_was_lost(report):
    page = report.page
    report.slide(16)
    assert report.row('numbers', 'State') == ['lost', '–']
    assert report.row('numbers', 'Score') == ['0.100', '–']
    assert report.row('numbers', 'Overlap') == ['1.000', '1.000']
    assert report.row('numbers', 'Box width (px)') == ['40.0', '40.0']
    assert report.row('overall', 'Frames lost') == ['26 %', '–']  # 6 of 23
    assert report.row('overall', 'Overlap above 0.5') == ['100 %', '91 %']  # 20 of 22
    page.get_by_role('button', name='frames 14 to 19 (6, 0.6 s)').click()
    report.wait(14)
    report.slide(23)
    assert report.row('numbers', 'Overlap') == ['–', '–']


def test_names_are_text_and_nothing_else(report):
    page = report.page
    assert page.title() == f'clip {NASTY}'
    assert page.locator('.panel h2').nth(1).inner_text() == NASTY
    assert page.evaluate('window.hacked') is None
    assert page.locator('b').count() == 0


def test_it_plays_to_the_end_and_stops_when_asked(report):
    page, button = report.page, report.page.locator('#play')
    page.select_option('#speed', '4')
    button.click()
    assert button.inner_text() == 'Pause'
    report.wait(COUNT - 1)
    page.get_by_role('button', name='Play').wait_for()
    page.select_option('#speed', '0.25')
    button.click()  # from the start
    report.wait(1)
    page.locator('h1').click()
    page.keyboard.press(' ')
    assert button.inner_text() == 'Play' and page.locator('#slider').input_value() in '12'


def test_it_fits_a_phone_and_a_dark_room(report):
    page = report.page
    script = 'getComputedStyle(document.body).backgroundColor'
    light = page.evaluate(script)
    page.emulate_media(color_scheme='dark')
    assert page.evaluate(script) != light
    page.set_viewport_size({'width': 360, 'height': 700})
    assert page.evaluate('document.documentElement.scrollWidth') <= 360
    tops = [page.locator('.panel').nth(i).bounding_box()['y'] for i in range(2)]
    assert tops[1] > tops[0] + 100  # below each other


def test_a_track_of_boxes_alone_has_a_page_without_empty_parts(visit, tmp_path):
    path = write_report(tmp_path / 'bare.html', make_frames(5), [bare_track('bare', 5)])
    report = ReportPage(visit, path)
    report.slide(1)
    for part in ('#attention', '#overlay', '#events', '.badge'):
        assert not report.page.locator(part).is_visible(), part
    assert report.page.locator('#toggles label').all_inner_texts() == [' box']
    assert 'tells no states' in report.page.locator('#lost').inner_text()
    assert report.visit.requests == []


def test_a_long_video_is_thinned_and_the_page_says_so(visit, tmp_path):
    album = FrameAlbum(AlbumLimits(frames=10, width=80))
    for index, frame in enumerate(make_frames(42)):
        album.add(frame, pinned=index == 7)
    assert list(album.pictures) == [0, 7, 8, 16, 24, 32, 40]
    tracks = [bare_track('a', 42), bare_track('b', 30)]
    report = ReportPage(visit, write_report(tmp_path / 'long.html', album, tracks))
    notes = report.page.locator('#notes').inner_text()
    assert '7 of 42 frames have a picture: one in 8' in notes and 'width of 80' in notes
    assert 'b has results for 30 frames' in notes
    report.page.keyboard.press('End')
    report.wait(40)
    assert near(report.pixel(5, 5), (100, 100, 100))
    assert report.row('numbers', 'Box width (px)') == ['60.0', '–']


def test_an_album_keeps_to_its_bytes():
    noise = np.random.default_rng(0).integers(0, 255, (40, HEIGHT, WIDTH, 3), np.uint8)
    album = FrameAlbum(AlbumLimits(megabytes=0.2))
    for frame in noise:
        album.add(frame)
    size = sum(map(len, album.pictures.values())) * 4 / 3
    assert 0.05e6 < size <= 0.2e6 and album.step > 1
    assert list(album.pictures) == list(range(0, 40, album.step))


def test_what_cannot_be_reported_is_refused(tmp_path):
    path, frames = tmp_path / 'page.html', make_frames(3)
    with pytest.raises(ValueError, match='no tracks'):
        write_report(path, frames, [])
    with pytest.raises(ValueError, match='no frames'):
        write_report(path, [], [bare_track('a', 3)])
    with pytest.raises(ValueError, match='explanations of 1 trackers, expected 2'):
        write_report(path, frames, [bare_track('a')] * 2, explanations=[None])
    with pytest.raises(ValueError, match=r'frame 3 is 80 x 60 px, expected 160 x 120'):
        write_report(path, [*frames, frames[0][::2, ::2]], [bare_track('a')])
    for frame, message in (
        (frames[0][:0], 'expected uint8 BGR'),
        (frames[0].tolist(), 'frame 0 is int64'),
        (np.zeros((70_000, 2, 3), np.uint8), '2 x 70000 px are too much'),
    ):
        with pytest.raises(ValueError, match=message):
            write_report(path, [frame], [bare_track('a', 1)])
    with pytest.raises(ValueError, match='at least 1 frame'):
        AlbumLimits(frames=0)
    with pytest.raises(ValueError, match='a size above 0'):
        AlbumLimits(megabytes=float('nan'))
    assert not list(tmp_path.iterdir())
    path.write_text('<html>of somebody else</html>')
    with pytest.raises(ValueError, match='exists and is no report'):
        check_destination(path)
    write_report(path, frames, [bare_track('a', 3)], rate=float('nan'))  # as some files claim
    check_destination(path)


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of frames with a bright square that moves."""
    folder = tmp_path / 'clip'
    folder.mkdir()
    for index in range(8):
        frame = make_frames(1)[0]
        cv2.rectangle(frame, (60 + index, 40), (100 + index, 80), (240, 240, 240), -1)
        cv2.imwrite(str(folder / f'{index:03d}.png'), frame)
    return folder


def test_the_command_tracks_with_two_trackers_and_keeps_attention(pictures, tmp_path, capsys):
    config, weights = write_small_tracker(tmp_path)
    (tmp_path / 'truth.txt').write_text('60,40,40,40\n' * 8)
    out = tmp_path / 'pages' / 'page.html'
    argv = ['report', str(pictures), '--truth', str(tmp_path / 'truth.txt'), '--out', str(out)]
    argv += ['--model', str(config), '--checkpoint', str(weights), '--every', '3', '--quiet']
    assert main([*argv, '--against', 'still', f'{config}={weights}']) == 0
    said = capsys.readouterr().out
    assert f'written: {out} (' in said and '8 frames, 8 of them with a picture, 3 with' in said
    data = read_data(out)
    names = [track['name'] for track in data['tracks']]
    assert names == ['small_test', 'still box', 'small_test (2)']
    first, still, second = data['tracks']
    assert list(first['explanations']) == ['1', '3', '6'] and not still['explanations']
    assert first['boxes'] == second['boxes'] and still['boxes'] == [[60, 40, 40, 40]] * 8
    assert first['states'][1] is not None and len(first['edges']) == 7
    assert still['overlap'] == [1] * 8


def test_models_that_cannot_be_explained_need_neither_torch_nor_openmmlab(pictures, tmp_path):
    toy, out = write_toy(tmp_path / 'toy'), tmp_path / 'page.html'
    argv = [
        'report',
        str(pictures),
        '--init',
        '60,40,40,40',
        '--max-frames',
        '3',
        '--out',
        str(out),
    ]
    argv += ['--model', 'still', '--against', str(toy), '--quiet']
    code = """
import sys
sys.modules['torch'] = sys.modules['mmengine'] = None
from mixformerv2_cli import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, '-c', code, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    data = read_data(out)
    assert data['count'] == 3 and [len(track['boxes']) for track in data['tracks']] == [3, 3]
    (note,) = data['notes']  # and none that the video ended early
    assert note.startswith('No attention of toy: an exported model does not give it')


def test_the_command_shows_results_that_are_files(pictures, tmp_path):
    result, out = tmp_path / 'run.json', tmp_path / 'page.html'
    tracks = [bare_track('target 1', 8), full_track('target 2')]
    write_json(result, TrackRun('clip', 'tiny', tracks, 25.0, (WIDTH, HEIGHT), 'end', {}))
    argv = ['report', str(pictures), '--out', str(out), '--quiet', '--results', str(result)]
    assert main([*argv, str(result), '--target', '2']) == 0
    data = read_data(out)
    assert [track['name'] for track in data['tracks']] == ['tiny', 'tiny (2)']
    assert data['count'] == 8 and data['tracks'][0]['score'][3] == 0.9


def test_what_was_tracked_before_an_error_has_a_page(pictures, tmp_path, capsys):
    (pictures / '005.png').write_bytes(b'no picture')
    out = tmp_path / 'page.html'
    argv = ['report', str(pictures), '--init', '60,40,40,40', '--out', str(out), '--quiet']
    assert main([*argv, '--model', 'still']) == 1
    assert '005.png cannot be decoded' in capsys.readouterr().err
    data = read_data(out)
    assert data['count'] == len(data['tracks'][0]['boxes']) == 5
    assert 'ended with an error' in data['notes'][0]


def test_an_interrupted_run_has_a_page(monkeypatch, tmp_path):
    def interrupted():
        yield from make_frames(4)
        raise KeyboardInterrupt

    source = open_source(interrupted())
    monkeypatch.setattr('mmtrack_mixformerv2.video.open_source', lambda name: source)
    out = tmp_path / 'page.html'
    argv = ['report', 'any', '--init', '60,40,40,40', '--out', str(out), '--model', 'still']
    assert main([*argv, '--quiet']) == 130
    data = read_data(out)
    assert data['count'] == 4 and 'interrupted' in data['notes'][0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (['nothing.mp4', '--init', '1,2,30,40'], 'nothing.mp4 does not exist'),
        (['clip'], 'no target; give --init'),
        (['clip', '--init', '500,500,10,10'], '500'),
        (['clip', '--init', '1,2,30,40', '--out', 'clip'], 'clip is a folder'),
        (['clip', '--init', '1,2,30,40', '--out', 'clip/000.png'], 'is no report'),
        (['clip', '--results', 'none.json'], 'none.json'),
        (['clip', '--init', '1,2,30,40', '--model', 'still', '--checkpoint', 'a'], 'is a baseline'),
        (['clip', '--init', '1,2,30,40', '--width', '20', '--megabytes', '-1'], 'megabytes=-1'),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(
    change, message, pictures, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(['report', *change, '--quiet']) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1
    assert not (tmp_path / 'report.html').exists()


@pytest.fixture(scope='module')
def tested(tmp_path_factory) -> Path:
    """A config that tests a small tracker on two short sequences."""
    folder = tmp_path_factory.mktemp('tested')
    cfg = annotated_test(folder, videos=2, frames=6)
    cfg.test_evaluator, cfg.log_level = {'type': 'SOTMetric'}, 'WARNING'
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.dump(folder / 'small.py')
    return folder / 'small.py'


def run_test(path: Path, work_dir: Path, loop: dict, **hook) -> tuple[Runner, dict[str, dict]]:
    """Test with the hook; gives the runner, and the data of the pages by their names."""
    cfg = Config.fromfile(path)
    cfg.work_dir, cfg.test_cfg = str(work_dir), loop
    cfg.experiment_name = uuid.uuid4().hex
    cfg.custom_hooks = [*cfg.custom_hooks, {'type': 'ReportHook', **hook}]
    runner = Runner.from_cfg(cfg)
    runner.test()
    return runner, {page.stem: read_data(page) for page in (work_dir / 'reports').iterdir()}


LOCK_STEP = {'type': 'LockStepTestLoop', 'progress': False, 'num_sequences': 2}


def test_the_hook_writes_the_same_boxes_in_both_test_loops(tested, tmp_path):
    runner, ours = run_test(tested, tmp_path / 'a', LOCK_STEP)
    _, theirs = run_test(tested, tmp_path / 'b', {'type': 'TestLoop'}, sequences=1)
    assert len(ours) == 2 and list(theirs) == [min(ours)]
    page, other = ours[min(ours)], theirs[min(ours)]
    (track,), (plain,) = page['tracks'], other['tracks']
    assert page['count'] == other['count'] == 6 and page['truth'] == other['truth']
    np.testing.assert_allclose(track['boxes'], plain['boxes'], atol=0.02)
    assert track['score'][0] is None and track['score'][1:] == pytest.approx(plain['score'][1:])
    assert len(track['edges']) == 5 and not plain['edges']  # MMEngine's loop hands over none
    with pytest.raises(ValueError, match=f"no sequence 'nowhere'; it has {min(ours)}"):
        ReportHook(sequences=['nowhere']).before_test(runner)


def test_the_hook_explains_the_sequences_that_are_named(tested, tmp_path):
    name = 'GOT-10k_Train_000002'
    _, pages = run_test(tested, tmp_path, LOCK_STEP, sequences=name, explain_every=2)
    assert list(pages) == [name]
    (track,) = pages[name]['tracks']
    assert list(track['explanations']) == ['1', '2', '4'] and len(track['edges']) == 5
