"""The test loop of several sequences: the same metrics, nothing lost, no foreign file touched."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import make_got10k
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from small_tracker import annotated_test
from tools_loader import load_tool, run_tool

from mmtrack_mixformerv2.engine import EvaluationError, LockStepTestLoop, WorkDirLock
from mmtrack_mixformerv2.evaluation.report_files import read_report

VIDEOS, FRAMES = 5, 24


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A folder with ``data``, ``test.py`` and ``weights.pth``; nothing in it changes."""
    folder = tmp_path_factory.mktemp('source')
    cfg = annotated_test(folder, videos=VIDEOS, frames=FRAMES)
    cfg.test_evaluator = {'type': 'SOTMetric', 'metric_options': {'only_eval_visible': True}}
    cfg.log_level = 'WARNING'
    cfg.dump(folder / 'test.py')
    return folder


@pytest.fixture
def config(source, tmp_path) -> Config:
    cfg = Config.fromfile(source / 'test.py')
    cfg.work_dir = str(tmp_path / 'run')
    return cfg


def build(cfg: Config, **loop) -> Runner:
    cfg.test_cfg.update({'progress': False, **loop})
    cfg.experiment_name = uuid.uuid4().hex
    return Runner.from_cfg(cfg)


class Watch(Hook):
    """Keeps what hooks get, and may interrupt the run after a number of frames.

    It wants all arguments, as mmtrack's hooks do.
    """

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.samples, self.indices, self.interrupt_after = [], [], interrupt_after

    def after_test_iter(self, runner, batch_idx, data_batch, outputs):
        self.samples.extend(outputs)
        self.indices.append(batch_idx)
        if len(self.samples) == self.interrupt_after:
            raise KeyboardInterrupt


def run(cfg: Config, watch: Watch | None = None, **loop):
    runner = build(cfg, **loop)
    if watch is not None:
        runner.register_hook(watch)
    return runner.test()


def tracks(cfg: Config) -> dict[str, np.ndarray]:
    """Box and score of every frame by sequence, as they are kept."""
    paths = sorted((Path(cfg.work_dir) / 'tracks').glob('*.csv'))
    return {path.stem: np.loadtxt(path, delimiter=',', skiprows=2)[:, :5] for path in paths}


def test_metrics_and_hooks_get_what_the_test_loop_of_mmengine_gives(source, config, tmp_path):
    seen, plain = Watch(), Watch()
    metrics = run(config, seen, num_sequences=3)
    serial = Config.fromfile(source / 'test.py')
    serial.work_dir, serial.test_cfg = str(tmp_path / 'serial'), {'type': 'TestLoop'}
    serial.test_dataloader.update(num_workers=0, persistent_workers=False)
    serial.experiment_name = uuid.uuid4().hex
    runner = Runner.from_cfg(serial)
    runner.register_hook(plain)
    assert runner.test() == pytest.approx(metrics) and metrics['sot/precision'] > 10
    assert seen.indices == list(range(VIDEOS * FRAMES))

    def key(sample):
        return sample.video_id, sample.frame_id

    for ours, theirs in zip(sorted(seen.samples, key=key), sorted(plain.samples, key=key)):
        for name in ('video_id', 'frame_id', 'video_length', 'img_path', 'ori_shape'):
            assert ours.metainfo[name] == theirs.metainfo[name], name
        np.testing.assert_array_equal(ours.instances[0]['bbox'], theirs.instances[0]['bbox'])
        assert ours.instances[0]['visible'] == theirs.instances[0]['visible']
        np.testing.assert_allclose(
            ours.pred_track_instances.bboxes, theirs.pred_track_instances.bboxes, atol=1e-3
        )


def test_an_interrupted_run_goes_on_with_what_is_not_finished(config, tmp_path):
    whole = config.copy()
    whole.work_dir = str(tmp_path / 'whole')
    expected = run(whole, num_sequences=2, strict=True)
    with pytest.raises(KeyboardInterrupt):
        run(config, Watch(interrupt_after=3 * FRAMES), num_sequences=2, strict=True)
    finished = tracks(config)
    assert 0 < len(finished) < VIDEOS
    rest = Watch()
    assert run(config, rest, num_sequences=2, strict=True) == expected
    assert len(rest.samples) == (VIDEOS - len(finished)) * FRAMES
    assert tracks(config).keys() == tracks(whole).keys()
    for name, rows in tracks(whole).items():
        np.testing.assert_array_equal(tracks(config)[name], rows)
    again = Watch()
    assert run(config, again, strict=True) == expected and not again.samples
    assert run(config, again, strict=True, restart=True) == expected
    assert len(again.samples) == VIDEOS * FRAMES


def test_a_kept_track_that_is_damaged_or_of_other_frames_is_not_taken(config):
    run(config)
    first, second, third, *_ = (Path(config.work_dir) / 'tracks').glob('*.csv')
    first.write_text('\n'.join(first.read_text().splitlines()[:-1]) + '\n')
    second.write_text(second.read_text().replace('x', ''))
    third.write_text(third.read_text().replace(',', ';'))
    seen = Watch()
    run(config, seen)
    assert len(seen.samples) == 3 * FRAMES


def test_neither_sampler_nor_threads_are_needed(config):
    config.test_dataloader.update(num_workers=0, sampler={'type': 'NotUsed'})
    assert 'sot/success' in run(config)


def test_tracks_of_other_weights_or_settings_are_refused(config, tmp_path):
    run(config)
    kept = {path: path.read_bytes() for path in Path(config.work_dir).glob('tracks/*')}
    message = r'settings \(backend=None, dtype=float32, .* --restart'
    with pytest.raises(EvaluationError, match=message):
        run(config, dtype='bfloat16')
    state = torch.load(config.load_from)['state_dict']
    state['box_head.fc2.bias' if 'box_head.fc2.bias' in state else next(iter(state))] += 1
    torch.save({'state_dict': state}, tmp_path / 'other.pth')
    config.load_from = str(tmp_path / 'other.pth')
    with pytest.raises(EvaluationError, match=r'differs in weights \(\w+ there, \w+ here\)'):
        run(config, dtype='float32')
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_folder_of_others_and_a_second_run_are_kept_out(config):
    folder = Path(config.work_dir) / 'tracks'
    folder.mkdir(parents=True)
    (folder / 'mine.csv').write_text('precious')
    with pytest.raises(EvaluationError, match='no evaluation made it'):
        run(config, restart=True)
    assert (folder / 'mine.csv').read_text() == 'precious'
    (folder / 'mine.csv').rename(folder / 'run.json.partial')  # as a killed run leaves it
    with WorkDirLock() as lock:
        lock.take(folder)
        with pytest.raises(EvaluationError, match='another evaluation is running in'):
            run(config)
    assert 'sot/success' in run(config)


@pytest.fixture
def broken(source, config, tmp_path) -> Config:
    """The second video has an unreadable frame, the fourth a bad line in its annotation."""
    root = tmp_path / 'data'
    make_got10k(root, videos=VIDEOS, frames=FRAMES)
    folders = sorted((root / 'train').iterdir())
    (folders[1] / '00000008.jpg').write_bytes(b'no image')
    lines = (folders[3] / 'groundtruth.txt').read_text().splitlines()
    (folders[3] / 'groundtruth.txt').write_text('\n'.join([*lines[:6], '1,2,x,4', *lines[7:]]))
    config.test_dataloader.dataset.data_root = str(root)
    return config


def test_sequences_that_fail_are_named_and_the_others_count(broken, tmp_path, capsys):
    runner = build(broken, num_sequences=2, progress=True)
    with pytest.raises(EvaluationError, match='2 of 5 sequences failed') as stop:
        runner.test()
    assert 'GOT-10k_Train_000002' in str(stop.value) and '000004' in str(stop.value)
    reasons = {one.name: (one.place, one.reason) for one in runner.test_loop.failures}
    place, reason = reasons['GOT-10k_Train_000002']
    assert place.startswith('frame 7 (') and 'cannot be decoded' in reason
    place, reason = reasons['GOT-10k_Train_000004']
    assert place == 'its annotation' and "line 7 is '1,2,x,4'" in reason
    assert len(tracks(broken)) == VIDEOS - 2
    done = (VIDEOS - 2) * FRAMES + 7
    assert f'| {done}/{done} [' in capsys.readouterr().err  # the bar
    # Once repaired, only these two are tracked.
    whole = make_got10k(tmp_path / 'whole', videos=VIDEOS, frames=FRAMES)
    broken.test_dataloader.dataset.data_root = str(whole)
    seen = Watch()
    assert 'sot/success' in run(broken, seen)
    assert len(seen.samples) == 2 * FRAMES


def command(monkeypatch, *arguments) -> str:
    """Run the tool; gives what it exits with."""
    monkeypatch.setattr('sys.argv', ['test.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        load_tool('test').main()
    return str(stop.value.code)


def test_the_tool_exits_with_what_failed_and_takes_another_data_root(monkeypatch, broken, source):
    name = f'experiment_name={uuid.uuid4().hex}'
    root = broken.test_dataloader.dataset.data_root
    arguments = [source / 'test.py', '--work-dir', broken.work_dir, '--data-root', root]
    options = ['--cfg-options', name, 'test_cfg.progress=False']
    assert 'error: 2 of 5 sequences failed' in command(monkeypatch, *arguments, *options)
    assert 'no annotation file' in command(monkeypatch, *arguments, '--data-root', root + '/no')
    impossible = [*arguments, '--work-dir', source / 'test.py' / 'run']
    assert 'error: [Errno 20] Not a directory' in command(monkeypatch, *impossible)
    options += ['test_cfg.dtype=float16']
    assert 'holds the tracks of another run' in command(monkeypatch, *arguments, *options)
    options += ['test_cfg.type=TestLoop']
    assert '--restart is for tests' in command(monkeypatch, *arguments, '--restart', *options)


def test_two_processes_give_the_numbers_of_one(config, tmp_path):
    """Five sequences, so one process has more of them than the other."""
    work_dirs = [tmp_path / 'one', tmp_path / 'two']
    config.test_evaluator = {'type': 'BenchmarkMetric', 'protocol': 'folder'}
    config.test_evaluator.outfile_prefix = 'results'
    config.test_cfg.update(strict=True, num_sequences=2)
    config.dump(tmp_path / 'test.py')
    two = ['2', '--work-dir', str(work_dirs[1])]
    run_tool('dist_test.sh', str(tmp_path / 'test.py'), config.load_from, *two)
    config.test_evaluator.outfile_prefix = str(work_dirs[0] / 'results')
    config.work_dir = str(work_dirs[0])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the two processes have
    run(config)
    torch.set_num_threads(threads)
    one, two = (read_report(folder / 'results.json') for folder in work_dirs)
    assert one.complete and two.complete and len(two.sequences) == VIDEOS
    for ours, theirs in zip(one.sequences, two.sequences):
        assert (ours.name, ours.metrics) == (theirs.name, theirs.metrics)
    assert one.overall.metrics == two.overall.metrics


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'num_sequences': 0}, 'num_sequences is 0, expected 1 or more'),
        ({'dtype': 'int3'}, "dtype is 'int3', expected one of float32, bfloat16, float16"),
        ({'backend': 'onnx'}, "backend is 'onnx', expected one of torch, onnxruntime"),
    ],
)
def test_wrong_settings_are_named(config, settings, message):
    with pytest.raises(ValueError, match=message):
        build(config, **settings).test()


def test_a_model_without_a_loop_is_told_what_to_use(config):
    runner = build(config)
    del runner.model.loop
    loop = LockStepTestLoop(runner, config.test_dataloader, config.test_evaluator)
    with pytest.raises(EvaluationError, match=r"test_cfg=dict\(type='TestLoop'\)"):
        loop.run()
