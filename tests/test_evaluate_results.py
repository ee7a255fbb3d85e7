"""Result folders of several trackers through the tool, with a folder of sequences as benchmark."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import write_boxes, write_frames, write_lines
from tools_loader import TOOLS, load_tool

from mmtrack_mixformerv2.evaluation.report_files import read_report
from mmtrack_mixformerv2.evaluation.result_files import Result, write_result

CONFIGS = TOOLS.parent / 'configs' / '_base_' / 'datasets'
FRAMES = 5


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Three sequences with attributes."""
    root = tmp_path_factory.mktemp('data')
    for seed, name in enumerate(('ball', 'bird', 'boat')):
        boxes = write_frames(root / name, [f'{i:04d}.png' for i in range(FRAMES)], seed)
        write_boxes(root / name / 'groundtruth.txt', boxes)
    write_lines(root / 'attributes.csv', ['ball,fast', 'bird,fast'])
    return root


@pytest.fixture
def trackers(data, tmp_path) -> dict[str, Path]:
    """One that is exact, and one whose boxes are 4 of 16 pixels too far to the right."""
    folders = {name: tmp_path / name / 'results' for name in ('exact', 'shifted')}
    for name, folder in folders.items():
        for path in data.glob('*/groundtruth.txt'):
            boxes = np.loadtxt(path, delimiter=',')
            boxes[1:, 0] += 4 * (name == 'shifted')
            write_result(folder, path.parent.name, Result(boxes), 'plain')
    return folders


def run(data, *arguments) -> None:
    tool = load_tool('analysis_tools/evaluate_results')
    config = CONFIGS / 'folder_test.py'
    tool.main([str(config), *map(str, arguments), '--data-root', str(data)])


def read_tables(printed: str) -> list[dict[str, list[str]]]:
    """The rows of each table that was printed, by their first word."""
    tables = []
    for line in printed.splitlines():
        words = line.split()
        if line.startswith('---'):
            tables.append({})
        elif tables and len(words) > 2:
            tables[-1][words[0]] = words[1:]
    return tables


def test_two_trackers_side_by_side(data, trackers, tmp_path, capsys):
    out = tmp_path / 'out'
    run(data, *trackers.values(), '--per-sequence', '--attributes', '--out', out)
    summary, attributes, sequences = read_tables(capsys.readouterr().out)
    # Overlap of the shifted boxes: 12 of 20 pixels, above 12 of 21 thresholds; the first is exact.
    shifted = 100 * (20 + 4 * 12) / 5 / 21
    assert summary['exact'] == ['3', '95.24', '100.00', '100.00']
    assert summary['shifted'][:2] == ['3', f'{shifted:.2f}']
    assert attributes['fast'] == ['2', '95.24', f'{shifted:.2f}']
    assert {'ball', 'bird', 'boat'} < set(sequences)  # and the line on what was written
    assert read_report(out / 'shifted.json').overall.metrics['success'] == pytest.approx(shifted)
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob('*') if path.is_file())
    curves = ('norm_precision', 'precision', 'success')
    assert made == sorted(
        [
            *(f'{name}{end}' for name in trackers for end in ('.json', '_sequences.csv')),
            *(f'{name}_attributes.csv' for name in trackers),
            *(f'all_{curve}.png' for curve in curves),
            *(f'attributes/fast_{curve}.png' for curve in curves),
        ]
    )


def test_a_zip_file_of_a_tracker_and_its_name(data, trackers, tmp_path, capsys):
    archive = shutil.make_archive(str(tmp_path / 'theirs'), 'zip', trackers['exact'])
    run(data, archive, trackers['shifted'], '--names', 'Theirs', 'Ours')
    summary, *_ = read_tables(capsys.readouterr().out)
    assert list(summary) == ['Theirs', 'Ours']
    run(data, archive)
    assert 'theirs' in read_tables(capsys.readouterr().out)[0]


def test_what_is_missing_or_wrong_is_named_and_there_are_no_numbers(data, trackers, capsys):
    folder = trackers['shifted']
    (folder / 'ball.txt').unlink()
    (folder / 'bird.txt').write_text('1,2,3\n' * FRAMES)
    (folder / 'bike.txt').write_text('1,2,3,4\n' * FRAMES)
    with pytest.raises(SystemExit) as stopped:
        run(data, *trackers.values())
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == ''
    assert 'note: shifted has 1 files of no sequence, e.g. bike.txt' in printed.err
    assert 'shifted (partial: 1 of 3 sequences)' in printed.err
    assert 'ball: there is no file ball.txt' in printed.err
    assert 'bird: bird.txt: line 1 has 3 numbers, expected 4' in printed.err
    run(data, *trackers.values(), '--allow-missing')
    assert 'shifted (partial: 1 of 3 sequences)' in capsys.readouterr().out
    (folder / 'boat.txt').write_text('')
    with pytest.raises(SystemExit) as stopped:  # nothing is left to score
        run(data, *trackers.values(), '--allow-missing')
    assert stopped.value.code == 1


def test_rules_can_be_changed_and_their_numbers_are_kept_apart(data, trackers, tmp_path, capsys):
    out = tmp_path / 'out'
    rules = 'folder:positive_corner=True'
    run(data, trackers['exact'], '--protocol', rules, '--out', out)
    assert 'folder (positive_corner=True), in percent' in capsys.readouterr().out
    assert read_report(out / 'exact.json').protocol == rules
    with pytest.raises(SystemExit, match="by protocol '.*True', and these are of .* by 'folder'"):
        run(data, trackers['exact'], '--out', out)
    assert read_report(out / 'exact.json').protocol == rules
    with pytest.raises(SystemExit, match='error: there is no protocol'):
        run(data, trackers['exact'], '--protocol', 'LaSOT')


def test_results_of_another_benchmark_are_refused(data, trackers, tmp_path):
    for name in ('ball', 'bird', 'boat'):
        (trackers['exact'] / f'{name}.txt').rename(trackers['exact'] / f'GOT-{name}.txt')
    with pytest.raises(SystemExit, match='error: .* none of the 3 sequences: expected ball.txt'):
        run(data, trackers['exact'])
    with pytest.raises(SystemExit, match='error: there is no folder or zip file'):
        run(data, tmp_path / 'nowhere')
    with pytest.raises(SystemExit, match='error: .*nowhere'):
        run(tmp_path / 'nowhere', trackers['exact'])


def test_submissions_are_compared_with_the_rules(data, trackers, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(data, trackers['exact'], '--protocol', 'trackingnet')
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert error.splitlines() == [
        'exact cannot be sent:',
        'the data set has 3 sequences, and the test set of TrackingNet has 511; look at its info '
        'file',
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['a', 'b', '--names', 'x'], '--names: 1 names for 2 RESULTS'),
        (['a/results.zip', 'a/results'], 'the names a, a are too much alike'),
    ],
)
def test_wrong_arguments(data, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run(data, *arguments)
    assert message in capsys.readouterr().err


def test_a_config_with_another_metric_needs_a_protocol(data, trackers, tmp_path):
    tool = load_tool('analysis_tools/evaluate_results')
    config = tmp_path / 'other.py'
    config.write_text(
        f"_base_ = '{CONFIGS / 'folder_test.py'}'\n"
        "test_evaluator = dict(_delete_=True, type='SOTMetric')\n"
    )
    arguments = [str(config), str(trackers['exact']), '--data-root', str(data)]
    with pytest.raises(SystemExit, match='no BenchmarkMetric in test_evaluator; use --protocol'):
        tool.main(arguments)
    tool.main([*arguments, '--protocol', 'folder'])
