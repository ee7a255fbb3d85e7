"""The benchmark of evaluations runs all kinds on the same frames, and its shares add up."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config
from small_tracker import write_small_tracker
from tools_loader import load_tool

SHARES = ('decode', 'crop', 'network', 'metric', 'rest')


@pytest.fixture(scope='module')
def tool():
    return load_tool('analysis_tools/benchmark_eval')


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> str:
    """A small tracker with the metric of a benchmark; its data set is replaced."""
    path, _ = write_small_tracker(tmp_path_factory.mktemp('small'))
    cfg = Config.fromfile(path)
    cfg.test_evaluator = dict(type='BenchmarkMetric', protocol='lasot', outfile_prefix='results')
    cfg.dump(path.with_name('whole.py'))
    return str(path.with_name('whole.py'))


def test_all_kinds_are_measured_and_their_shares_add_up(tool, config, tmp_path, capsys):
    numbers = tmp_path / 'numbers.json'
    options = ['--sequences', '2', '--size', '96', '64', '--workers', '0', '--rounds', '1']
    more = ['--batch', '2', '--dtype', 'float32', 'bfloat16', '--json', str(numbers)]
    tool.main([config, *options, *more])
    printed = capsys.readouterr().out
    rows = {row['evaluation']: row for row in json.loads(numbers.read_text())}
    kinds = ['MMEngine, frame by frame', 'one sequence', '2 sequences', '2 sequences, bfloat16']
    assert list(rows) == kinds and all(kind in printed for kind in kinds)
    for row in rows.values():
        assert sum(row[share] for share in SHARES) == pytest.approx(1, abs=0.2)  # side by side
        assert all(row[share] > 0 for share in SHARES[:-1])
        assert row['overhead'] == pytest.approx(1 - row['decode'] - row['network'])
        assert row['reading'] > 0 and row['frames_per_second'] > 0
    assert rows['one sequence']['times_serial'] == rows[kinds[0]]['times_mmengine'] == 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--batch', '0'], 'not a whole number from 1 up'),
        (['--frames', '5'], 'not a whole number from 20 up'),
        (['--dtype', 'int4'], 'invalid choice'),
        (['--json', 'no/where/a.json'], 'there is no folder'),
    ],
)
def test_options_that_are_none_are_named(tool, config, options, message, capsys):
    with pytest.raises(SystemExit):
        tool.main([config, *options])
    assert message in capsys.readouterr().err


def test_a_config_that_is_none_is_named(tool, tmp_path):
    with pytest.raises(SystemExit, match='error: the config file .*no.py does not exist'):
        tool.main([str(tmp_path / 'no.py')])
