"""BenchmarkMetric: what it collects, what it writes, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import write_boxes, write_frames
from mmengine.config import Config
from mmengine.runner import Runner
from mmtrack.registry import METRICS
from sequence_lists import make_table
from small_tracker import write_small_tracker

from mmtrack_mixformerv2.evaluation.metric import BenchmarkMetric
from mmtrack_mixformerv2.evaluation.report_files import read_report
from mmtrack_mixformerv2.evaluation.submissions import SERVERS

ALL_RIGHT = {'sot/success': 2000 / 21, 'sot/norm_precision': 100, 'sot/precision': 100}


@pytest.fixture
def table():
    return make_table('a', 'b', 'c')


@pytest.fixture
def prefix(tmp_path) -> str:
    return str(tmp_path / 'run' / 'results')


def make_metric(table, prefix, protocol='folder', **settings) -> BenchmarkMetric:
    metric = BenchmarkMetric(protocol, prefix, **settings)
    metric.dataset_meta = {'sequences': table}
    return metric


def frames_of(table, video: int, seconds: float | None = 0.25, shift: float = 0.0) -> list[dict]:
    """Data samples of a tracker that is right, or off by a shift after the first frame."""
    samples = []
    x, y, w, h = table[video].boxes_xywh[0]
    for frame in range(len(table[video])):
        box = torch.tensor([[x, y, x + w, y + h]]) + (shift if frame else 0)
        sample = dict(video_id=video, frame_id=frame, video_length=len(table[video]))
        sample['pred_track_instances'] = dict(bboxes=box, scores=torch.ones(1))
        samples.append(sample if seconds is None else {**sample, 'seconds': seconds})
    return samples


def test_videos_may_come_mixed(table, prefix):
    metric = make_metric(table, prefix)
    for samples in zip(*(frames_of(table, video) for video in (2, 0, 1))):
        metric.process({}, samples)
    assert metric.evaluate(12) == pytest.approx(ALL_RIGHT)
    for sequence in table:
        np.testing.assert_array_equal(
            np.loadtxt(f'{prefix}/{sequence.name}.txt', delimiter=','), sequence.boxes_xywh
        )
    report = read_report(f'{prefix}.json')
    assert (report.complete, report.tracker) == (True, 'run')
    assert report.frames_per_second == 4
    made = sorted(path.name for path in Path(prefix).parent.iterdir())
    assert made == [
        'results',
        'results.json',
        'results_norm_precision.png',
        'results_precision.png',
        'results_sequences.csv',
        'results_success.png',
    ]
    assert metric.results == []


def test_numbers_are_those_of_the_files(table, prefix):
    metric = make_metric(table, prefix)
    for video in range(3):
        metric.process({}, frames_of(table, video, shift=1e-5))
    assert metric.evaluate(12) == pytest.approx(ALL_RIGHT)  # four decimals: no shift is left


def test_without_files_there_are_only_numbers(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metric = make_metric(table, None)
    metric.check_outfiles()
    for video in range(3):
        metric.process({}, frames_of(table, video, seconds=None))
    assert metric.evaluate(12) == pytest.approx(ALL_RIGHT)
    assert metric.tracker == 'tracker'
    assert list(tmp_path.iterdir()) == []


def test_missing_videos_are_named_and_in_no_number(table, prefix):
    metric = make_metric(table, prefix)
    metric.process({}, frames_of(table, 0))
    metric.process({}, frames_of(table, 1)[:3])
    metric.add_failure(2, 'frame 2 (c/00000003.jpg) cannot be read')
    metrics = metric.evaluate(12)
    assert metrics == pytest.approx({**ALL_RIGHT, 'sot/missing_sequences': 2})
    report = read_report(f'{prefix}.json')
    assert report.unscored == {
        'b': 'only 3 of 4 frames were tracked',
        'c': 'frame 2 (c/00000003.jpg) cannot be read',
    }
    assert [path.name for path in Path(prefix).iterdir()] == ['a.txt']
    metric = make_metric(table, prefix)
    metric.results.append(dict(video=0, failure='frame 1 is black'))
    assert metric.evaluate(12) == {'sot/missing_sequences': 3}
    assert read_report(f'{prefix}.json').unscored['b'] == 'it was not tracked'
    # What an earlier run found is not taken for this run's.
    assert [path.name for path in Path(prefix).iterdir()] == ['a.txt.old']
    assert Path(f'{prefix}_success.png.old').exists()
    assert not Path(f'{prefix}_success.png').exists()


def test_a_box_that_is_nan_is_named(table, prefix):
    metric = make_metric(table, prefix)
    for video in range(3):
        samples = frames_of(table, video)
        if video == 1:
            samples[2]['pred_track_instances']['bboxes'][:] = float('nan')
        metric.process({}, samples)
    assert metric.evaluate(12)['sot/missing_sequences'] == 1
    assert read_report(f'{prefix}.json').unscored == {'b': 'b.txt: line 3 is NaN'}


@pytest.mark.parametrize('name', ['results/mine.txt', 'results.json', 'results_success.png'])
def test_files_of_someone_else_are_left_alone(table, prefix, name):
    path = Path(prefix).parent / name
    path.parent.mkdir(parents=True)
    path.write_text('precious')
    metric = make_metric(table, prefix)
    with pytest.raises(ValueError, match='is not known to be of an earlier run .* move it away'):
        metric.check_outfiles()
    metric.process({}, frames_of(table, 0))
    with pytest.raises(ValueError, match='move it away'):
        metric.evaluate(12)
    assert path.read_text() == 'precious'
    assert len(list(path.parent.iterdir())) == 1


def test_results_of_another_tracker_are_left_alone(table, prefix):
    metric = make_metric(table, prefix, tracker='B')
    metric.check_outfiles()
    metric.process({}, frames_of(table, 0))
    metric.evaluate(12)
    metric.check_outfiles()
    with pytest.raises(ValueError, match="results of 'B' by protocol 'folder', and .* of 'S'"):
        make_metric(table, prefix, tracker='S').check_outfiles()
    with pytest.raises(ValueError, match="by 'lasot'"):
        make_metric(table, prefix, 'lasot', tracker='B').check_outfiles()
    Path(prefix, 'a.txt').unlink()
    Path(prefix).rmdir()
    Path(prefix).write_text('no folder')
    with pytest.raises(ValueError, match='results is a file, and the results are to be a folder'):
        metric.check_outfiles()


def test_a_data_set_that_cannot_be_scored_stops_a_test_before_it_runs(prefix):
    metric = make_metric(make_table('a', 'a'), prefix)
    with pytest.raises(ValueError, match="more than one sequence, e.g. 'a'"):
        metric.check_outfiles()
    metric.dataset_meta = {}
    with pytest.raises(ValueError, match='hands over no annotations'):
        metric.check_outfiles()


def test_wrong_settings_are_refused(table, prefix):
    with pytest.raises(ValueError, match="there is no protocol 'LaSOT'"):
        METRICS.build(dict(type='BenchmarkMetric', protocol='LaSOT'))
    with pytest.raises(ValueError, match="collect_device is 'gpu', expected 'cpu'"):
        BenchmarkMetric('lasot', collect_device='gpu')
    metric = BenchmarkMetric('lasot', prefix)
    metric.process({}, frames_of(table, 0))
    with pytest.raises(ValueError, match="its metainfo has no 'sequences'. Use one of the data"):
        metric.evaluate(4)
    table[1] = table[0]
    with pytest.raises(ValueError, match="1 names are of more than one sequence, e.g. 'a'"):
        make_metric(table, prefix).compute_metrics([])


@pytest.mark.parametrize('times', ['measured', 'unknown'])
def test_a_server_gets_a_zip_file_only_if_its_rules_are_kept(prefix, times, monkeypatch):
    server = dataclasses.replace(SERVERS['got10k_test'], sequences=3)
    monkeypatch.setitem(SERVERS, 'got10k_test', server)
    table = make_table(*(f'GOT-10k_Test_{i:06d}' for i in range(1, 4)), frames=2, first_only=True)
    metric = make_metric(table, prefix, 'got10k_test')
    for video in range(3):
        metric.process({}, frames_of(table, video, 0.125 if times == 'measured' else None))
    Path(prefix).parent.mkdir()
    assert metric.evaluate(6) == {'sot/sequences': 3}
    assert Path(f'{prefix}.zip').exists() == (times == 'measured')


def evaluate_share(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2
    )
    table = make_table('a', 'b', 'c')
    metric = make_metric(table, f'{folder}/results')
    for video in ((0, 2), (1,))[rank]:
        metric.process({}, frames_of(table, video))
    Path(folder, f'{rank}.json').write_text(json.dumps(metric.evaluate(12)))
    torch.distributed.destroy_process_group()


def test_processes_with_different_numbers_of_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # mmtrack collects in a folder there
    # Not forked from this process, in which runtimes may have threads that hold locks.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmtrack_mixformerv2'])  # before mmtrack
    processes = [
        context.Process(target=evaluate_share, args=(rank, str(tmp_path))) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for rank in (0, 1):
        metrics = json.loads((tmp_path / f'{rank}.json').read_text())
        assert metrics == pytest.approx(ALL_RIGHT)
    assert read_report(tmp_path / 'results.json').overall.sequences == 3


def test_mmengine_s_loop_fills_it(tmp_path):
    """Boxes of the real loop: one forward per frame, float32, no times."""
    for name, seed in (('square', 1), ('corner', 2)):
        frames = [f'{i:04d}.png' for i in range(1, 6)]
        boxes = write_frames(tmp_path / 'data' / name, frames, seed)
        write_boxes(tmp_path / 'data' / name / 'groundtruth.txt', boxes)
    config, weights = write_small_tracker(tmp_path)
    text = config.read_text().replace('datasets/sot_test.py', 'datasets/folder_test.py')
    config.write_text(text)
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'data')
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_cfg = dict(type='TestLoop')
    cfg.test_evaluator.outfile_prefix = str(tmp_path / 'run' / 'results')
    cfg.update(work_dir=str(tmp_path / 'run'), load_from=str(weights), experiment_name='metric')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    report = read_report(tmp_path / 'run' / 'results.json')
    assert report.complete
    assert [score.name for score in report.sequences] == ['corner', 'square']
    assert metrics['sot/success'] == report.overall.metrics['success'] > 0
    boxes = np.loadtxt(tmp_path / 'run' / 'results' / 'corner.txt', delimiter=',')
    truth = np.loadtxt(tmp_path / 'data' / 'corner' / 'groundtruth.txt', delimiter=',')
    assert boxes.shape == (5, 4)
    np.testing.assert_array_equal(boxes[0], truth[0])
