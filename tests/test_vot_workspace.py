"""Workspaces: two text files that the toolkit reads, and rendered sequences in its layout."""

from __future__ import annotations

import configparser
import re
import shlex
import sys

import cv2
import numpy as np
import pytest
import yaml
from test_vot_server import CHECKPOINT, CONFIG, ROOT
from tools_loader import load_tool

from mmtrack_mixformerv2.synthetic import make_difficulty
from mmtrack_mixformerv2.synthetic.scene import Scene
from mmtrack_mixformerv2.vot import (
    add_tracker,
    region_of,
    region_to_box,
    write_rendered_sequences,
    write_workspace,
)
from mmtrack_mixformerv2.vot.rendered import mark_anchors, target_mask


def read_trackers(folder) -> configparser.ConfigParser:
    registry = configparser.ConfigParser()
    registry.read(folder / 'trackers.ini', encoding='utf-8')
    return registry


def test_a_workspace_is_written_once(tmp_path):
    folder = tmp_path / 'new' / 'space'
    write_workspace(folder, 'vot2022/shorttermbox')
    config = folder / 'config.yaml'
    text = config.read_text()
    assert yaml.safe_load(text) == {'registry': ['./trackers.ini'], 'stack': 'vot2022/shorttermbox'}
    config.write_text(text + 'report: {}\n')
    write_workspace(folder, 'vot2022/shorttermbox')
    assert config.read_text().endswith('report: {}\n')  # left as it was
    with pytest.raises(ValueError, match='of the stack vot2022/shorttermbox, expected vot2020'):
        write_workspace(folder, 'vot2020/shortterm')
    with pytest.raises(FileExistsError, match='is a file'):
        write_workspace(config, 'vot2020/shortterm')


def test_trackers_are_added_and_never_changed(tmp_path):
    (tmp_path / 'trackers.ini').write_text('; mine\n[other]\ncommand = run me\n')
    command = ['python', '/with space/100%/track.py', "it's", 'a=b']
    for _ in range(2):
        add_tracker(tmp_path, 'first-1', command, label='First, 50%')
    add_tracker(tmp_path, 'second', ['python'], label='Second')
    text = (tmp_path / 'trackers.ini').read_text()
    assert text.startswith('; mine\n[other]\ncommand = run me\n')
    assert text.count('[first-1]') == 1
    registry = read_trackers(tmp_path)
    assert registry.sections() == ['other', 'first-1', 'second']
    assert shlex.split(registry['first-1']['command']) == command
    assert registry['first-1']['protocol'] == 'trax'
    assert registry['first-1']['label'] == 'First, 50%'
    with pytest.raises(ValueError, match='has a tracker second with another command: python'):
        add_tracker(tmp_path, 'second', ['ruby'], label='Second')
    assert (tmp_path / 'trackers.ini').read_text() == text


@pytest.mark.parametrize('name', ['', 'a b', 'v1.2', 'a/b', '[x]'])
def test_names_that_the_toolkit_refuses(tmp_path, name):
    with pytest.raises(ValueError, match='expected letters, digits, - and _'):
        add_tracker(tmp_path, name, ['python'], label='x')


def test_stacks_with_masks_are_known():
    assert region_of('vot2020/shortterm') == region_of('vot2022/shortterm') == 'mask'
    assert region_of('vot2022/shorttermbox') == region_of('vot2018/shortterm') == 'rectangle'


@pytest.mark.parametrize('masks', [False, True])
def test_rendered_sequences_have_the_layout_of_the_toolkit(tmp_path, masks):
    folder = tmp_path / 'w' / 'sequences'
    size = (128, 96)
    names = write_rendered_sequences(folder, 2, masks=masks, num_frames=12, size=size, seed=4)
    assert names == ['rendered_000001', 'rendered_000002']
    assert (folder / 'list.txt').read_text().split() == names
    assert sorted(path.name for path in tmp_path.rglob('w/*')) == ['sequences']  # nothing left over
    for name in names:
        sequence = folder / name
        lines = (sequence / 'sequence').read_text().splitlines()
        settings = dict(line.split('=') for line in lines)
        assert settings['channels.color'] == 'color/%08d.jpg'
        assert (settings['width'], settings['height'], settings['length']) == ('128', '96', '12')
        frames = sorted(path.name for path in (sequence / 'color').iterdir())
        assert frames == [f'{number:08d}.jpg' for number in range(1, 13)]
        assert cv2.imread(str(sequence / 'color' / frames[0])).shape == (96, 128, 3)
        regions = (sequence / 'groundtruth.txt').read_text().splitlines()
        assert len(regions) == 12
        assert {region.startswith('m') for region in regions} == {masks}
        boxes = np.array([region_to_box(region) for region in regions])
        assert (boxes[:, 2:] >= 1).all()
        assert len((sequence / 'anchor.value').read_text().splitlines()) == 12


def test_masks_are_those_of_the_target():
    difficulty = make_difficulty('medium', occlusion=1, leaving=0, blur=0)
    scene = Scene(1, 2, difficulty, 40, (128, 96))
    hidden = 0
    for frame in range(scene.num_frames):
        _, box, share, _ = scene.frame(frame)
        mask = target_mask(scene, frame)
        assert mask.shape == (96, 128)
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert columns.min() >= box[0] - 1 and columns.max() <= box[0] + box[2] + 1
            assert rows.min() >= box[1] - 1 and rows.max() <= box[1] + box[3] + 1
        if share > 0.98:
            assert np.ptp(columns) + 1 == pytest.approx(box[2], abs=3)
            assert np.ptp(rows) + 1 == pytest.approx(box[3], abs=3)
            whole = mask.sum()
        elif share < 0.6:
            hidden += 1
            assert mask.sum() < 0.8 * whole
    assert hidden


def test_anchors_run_in_the_longer_direction():
    assert mark_anchors(150).nonzero()[0].tolist() == [0, 50, 100]
    assert mark_anchors(150)[[0, 50, 100]].tolist() == [1, 1, -1]
    assert mark_anchors(101)[[0, 50, 100]].tolist() == [1, 1, -1]
    assert mark_anchors(2).tolist() == [1, 0]


def test_rendered_sequences_replace_nothing(tmp_path):
    (tmp_path / 'sequences').mkdir()
    with pytest.raises(FileExistsError, match='choose another workspace'):
        write_rendered_sequences(tmp_path / 'sequences', 1, masks=False)
    with pytest.raises(ValueError, match='got 0 sequences'):
        write_rendered_sequences(tmp_path / 'new', 0, masks=False)
    assert not (tmp_path / 'new').exists()


@pytest.fixture
def tool(monkeypatch):
    return load_tool('vot/workspace')


def test_the_tool_writes_a_command_that_can_be_started_anywhere(
    tmp_path, tool, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    folder = tmp_path / 'my space'
    paths = [str(path.relative_to(ROOT)) for path in (CONFIG, CHECKPOINT)]
    option = 'model.test_cfg.update_interval=10'
    arguments = [str(folder), 'vot2020/shortterm', *paths, '--cfg-options', option]
    tool.main([*arguments, '--name', 'tiny', '--rendered', '1', '--frames', '3'])
    assert read_trackers(folder).get('tiny', 'label') == 'tiny'
    assert shlex.split(read_trackers(folder).get('tiny', 'command')) == [
        sys.executable,
        str(ROOT / 'tools/vot/track.py'),
        str(CONFIG),
        str(CHECKPOINT),
        '--region',
        'mask',
        '--cfg-options',
        option,
    ]
    assert (folder / 'sequences/rendered_000001/groundtruth.txt').read_text().startswith('m')
    printed = capsys.readouterr().out
    assert f"vot evaluate --workspace '{folder}' tiny" in printed


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['stack', 'no.py', 'no.pth'], 'the config file no.py does not exist'),
        (['stack', str(CONFIG), 'no.pth'], 'the checkpoint no.pth does not exist'),
        (['stack', str(CONFIG), str(CHECKPOINT), '--name', 'a.b'], "is called 'a.b'"),
        (['stack', str(CONFIG), str(CHECKPOINT), '--rendered', '0'], 'got 0 sequences'),
    ],
)
def test_the_tool_names_mistakes(tmp_path, tool, arguments, message):
    with pytest.raises(SystemExit, match=message):
        tool.main([str(tmp_path / 'w'), *arguments])


def test_the_tool_refuses_options_that_are_none(tmp_path, tool, capsys):
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path), 's', str(CONFIG), str(CHECKPOINT), '--cfg-options', 'interval'])
    assert "'interval' is no KEY=VALUE" in capsys.readouterr().err


def test_the_commands_of_the_guide_are_valid(tool):
    guide = (ROOT / 'docs/vot.md').read_text(encoding='utf-8')
    commands = re.findall(r'^python tools/vot/workspace\.py (.+)$', guide, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        args = tool.parse_args(shlex.split(command))
        assert (ROOT / args.config).is_file()
        assert f'vot evaluate --workspace {args.folder} {args.name}' in guide
