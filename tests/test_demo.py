"""The demonstration runs from rendering to pictures, on a few frames and an untrained model."""

from __future__ import annotations

import cv2
import pytest
from small_tracker import write_small_tracker
from tools_loader import load_tool

from mmtrack_mixformerv2.video import count_frames


@pytest.fixture(scope='module')
def demo():
    return load_tool('demo')


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> list[str]:
    """Options that name a small config and weights for it."""
    config, weights = write_small_tracker(tmp_path_factory.mktemp('tiny'))
    return ['--config', str(config), '--checkpoint', str(weights)]


def test_rendered_sequences_are_compared_and_drawn(demo, tiny, tmp_path, capsys):
    options = [
        *tiny,
        '--out',
        str(tmp_path),
        '--sequences',
        '2',
        '--frames',
        '20',
        '--workers',
        '1',
        '--difficulty',
        'easy',
    ]
    demo.main(options)
    printed = capsys.readouterr().out
    assert '2 rendered, 0 kept' in printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    assert {'small', 'OpenCV', 'still'} <= rows.keys()
    for row in ('small', 'OpenCV', 'still'):
        success, norm_precision, precision = (float(value) for value in rows[row][-4:-1])
        assert 0 <= success <= 96 and 0 <= norm_precision <= 100 and 0 <= precision <= 100
    assert float(rows['still'][-4]) > 0
    video = next(path for path in tmp_path.glob('demo.*'))
    assert count_frames(video) == 40
    assert cv2.imread(str(tmp_path / 'strip.png')).shape[1] == 6 * 242
    assert str(video) in printed and str(tmp_path / 'strip.png') in printed


def test_the_sequences_are_those_that_the_test_config_names(demo):
    header = demo.CONFIG.read_text()
    args = demo.parse_args([])
    assert f'--val {args.sequences} --seed {args.seed};' in header
    assert args.config == str(demo.CONFIG) and args.checkpoint.endswith(demo.CHECKPOINT.name)
    assert str(demo.CHECKPOINT.relative_to(demo.ROOT)) in header
    for training in demo.CONFIG.parent.glob('mixformerv2-tiny_*e_synthetic.py'):
        assert f'--seed {args.seed} ' not in training.read_text()


def test_sequences_are_rendered_once(demo, tmp_path, capsys):
    args = demo.parse_args(
        ['--out', str(tmp_path), '--sequences', '1', '--frames', '20', '--workers', '1']
    )
    folder = demo.render(args)
    picture = next(folder.glob('val/*/00000001.jpg'))
    written = picture.stat().st_mtime_ns
    assert demo.render(args) == folder and picture.stat().st_mtime_ns == written
    assert '0 rendered, 1 kept' in capsys.readouterr().out
    args.seed += 1
    assert demo.render(args) != folder


@pytest.mark.parametrize(
    'options, message',
    [
        (['--checkpoint', 'nowhere.pth'], 'the checkpoint file nowhere.pth does not exist'),
        (['--config', 'nowhere.py'], 'the config file nowhere.py does not exist'),
    ],
)
def test_missing_files_are_named_before_anything_is_written(demo, tiny, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        demo.main([*tiny, *options, '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


def test_wrong_options_are_explained(demo, capsys):
    with pytest.raises(SystemExit):
        demo.parse_args(['--sequences', '0'])
    assert '--sequences is 0, expected at least 1' in capsys.readouterr().err
