"""Names become models, and models become files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from file_server import Answer, serve
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmtrack.registry import MODELS
from tools_loader import load_tool

from mmtrack_mixformerv2 import zoo
from mmtrack_mixformerv2.checkpoints import RELEASED, measure
from mmtrack_mixformerv2.engine.chain import check_parents, parents_of
from mmtrack_mixformerv2.zoo.metafiles import refresh_metafiles

ROOT = Path(__file__).resolve().parents[1]
TINY = 'mixformerv2-tiny'
WEIGHTS = b'some weights' * 1000
PATIENCE = zoo.Patience(attempts=2, timeout=10, pause=0)


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch) -> Path:
    """An empty cache, and nothing else that the environment says; gives the cache."""
    for name in list(os.environ):
        if name.startswith('MIXFORMERV2_'):
            monkeypatch.delenv(name)
    monkeypatch.setenv('MIXFORMERV2_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    return tmp_path / 'cache'


@pytest.fixture
def server():
    with serve() as server:
        server.files['files/mine.pth'] = WEIGHTS
        yield server


@pytest.fixture
def write_index(tmp_path, monkeypatch):
    """Writes an index of one model, named ``mine``, and makes it known."""

    def write(weights: str | None, content: bytes | None = WEIGHTS, **metadata) -> Path:
        (tmp_path / 'mine.py').write_text('model = dict()\n')
        if content is not None:
            metadata |= {'SHA256': hashlib.sha256(content).hexdigest(), 'Bytes': len(content)}
        entry = {'Name': 'mine', 'Config': 'mine.py', 'Metadata': metadata}
        if weights is not None:
            entry['Weights'] = weights
        path = tmp_path / 'index.yml'
        path.write_text(json.dumps({'Models': [entry]}))
        monkeypatch.setenv('MIXFORMERV2_INDEX', str(path))
        return path

    return write


# ---- the index ---------------------------------------------------------------------------------


def test_every_model_of_the_package_is_described():
    models = {model.name: model for model in zoo.list_models()}
    released = ['mixformerv2-b', 'mixformerv2-s', 'mixvit-b-pyramid288', 'mixvit-l-pyramid384']
    released += ['mixvit-b-score', 'mixvit-l-score']
    assert set(released) <= RELEASED.keys()  # so that a wrong file is recognised
    others = ['mixvit-l-score-got', 'mixformer-cvt', 'mixformer-cvt-got', 'mvt', 'fermt']
    others += ['fermt-got']
    assert [*models] == [TINY, *released, *others]
    for name in others:
        with torch.device('meta'):
            tracker = MODELS.build(Config.fromfile(models[name].config).model)
        sizes = measure(tracker.state_dict())
        assert models[name].config.match(sizes.config)  # of a file with these weights
        parameters = sum(value.numel() for value in tracker.parameters())
        assert models[name].metadata['Parameters'] == parameters, name
    for name in (TINY, 'mixformerv2-s'):
        model = models[name]
        tracker = MODELS.build(Config.fromfile(model.config).model)
        parameters = sum(value.numel() for value in tracker.parameters())
        assert model.metadata['Parameters'] == parameters, model.name


def test_the_hash_of_the_weights_in_the_package_is_right():
    """If it is not: tools/model_converters/refresh_metafiles.py."""
    path = zoo.fetch_weights(TINY)
    assert path.parent == ROOT / 'weights'
    assert zoo.find_model(TINY).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_mim_reads_the_index():
    modelindex = pytest.importorskip('modelindex')
    index = modelindex.load_model_index.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert [model.name for model in index.models] == [model.name for model in zoo.list_models()]
    for model in index.models:
        assert not model.check_errors and (ROOT / model.config).is_file()
        assert model.in_collection in {collection.name for collection in index.collections}
        assert model.full_model.metadata.data['Architecture'][0].endswith(('ViT', 'CvT'))


@pytest.mark.parametrize(
    ('typed', 'meant'),
    [
        ('mixformerv2-tinny', TINY),
        ('mixformer-tiny', TINY),
        ('mixformerv2_b', 'mixformerv2-b'),
        ('mixvit-l', 'mixvit-l-score'),
    ],
)
def test_a_misspelt_name_is_answered_with_similar_ones(typed, meant):
    with pytest.raises(zoo.UnknownModelError, match=f'Did you mean .*{meant}'):
        zoo.find_model(typed)
    assert zoo.find_model(TINY.upper()).name == TINY
    with pytest.raises(zoo.UnknownModelError) as error:
        zoo.find_model('0815')
    assert 'mean' not in str(error.value) and TINY in str(error.value)


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        ({'Name': '../mine'}, "called '../mine'; expected a Name of letters"),
        ({'Name': None}, 'called None'),
        ({'Name': TINY}, f"has a model '{TINY}', and so has .*metafile.yml"),
        ({'Config': None}, 'has no Config'),
        ({'Config': 'nowhere.py'}, r'nowhere\.py, which does not exist'),
        ({'Weights': None}, 'has no Weights'),
        ({'Weights': 'ftp://host/a.pth'}, "'ftp://host/a.pth'; expected an address"),
        ({'Weights': 'https://host/a.pth', 'Metadata': {}}, 'expected SHA256 and Bytes'),
        ({'Metadata': {'SHA256': 'abc'}}, "SHA256 'abc'; expected 64"),
        ({'Metadata': {'Bytes': -1}}, 'Bytes: -1; expected a whole number'),
    ],
)
def test_an_entry_that_says_too_little_is_refused(write_index, change, match):
    path = write_index('mine.pth')
    content = json.loads(path.read_text())
    content['Models'][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(zoo.ZooError, match=match):
        zoo.list_models()


@pytest.mark.parametrize('content', [None, b'\xff', b'a: [', b'- a'])
def test_an_index_that_is_none_is_refused(tmp_path, monkeypatch, content):
    path = tmp_path / 'index.yml'
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv('MIXFORMERV2_INDEX', str(path))
    with pytest.raises(zoo.ZooError, match=r'index\.yml'):
        zoo.find_model(TINY)


def test_refreshing_changes_two_lines_of_one_model(tmp_path, capsys):
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights/mixformerv2-tiny_synthetic.pth').write_bytes(WEIGHTS)
    (tmp_path / 'model-index.yml').symlink_to(ROOT / 'model-index.yml')
    for metafile in ROOT.glob('configs/*/metafile.yml'):
        target = tmp_path / metafile.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        target.write_text(metafile.read_text())
    for model in zoo.list_models():
        (tmp_path / model.config.relative_to(ROOT)).touch()
    before = (ROOT / 'configs/mixformerv2/metafile.yml').read_text().splitlines()
    assert refresh_metafiles(tmp_path / 'model-index.yml') == [TINY]
    after = (tmp_path / 'configs/mixformerv2/metafile.yml').read_text().splitlines()
    changed = [(a.strip(), b.strip()) for a, b in zip(before, after) if a != b]
    assert [b for _, b in changed] == [
        f"SHA256: '{hashlib.sha256(WEIGHTS).hexdigest()}'",
        f'Bytes: {len(WEIGHTS)}',
    ]
    tool = load_tool('model_converters/refresh_metafiles')
    assert tool.main([str(tmp_path / 'model-index.yml')]) == 0
    assert capsys.readouterr().out == 'all are up to date\n'


# ---- from names to files -----------------------------------------------------------------------


def test_a_file_is_downloaded_once(write_index, server, environment):
    write_index(server.url('files/mine.pth'))
    path = zoo.fetch_weights('mine')
    assert path.read_bytes() == WEIGHTS and path.parent == environment
    assert path.name == f'mine-{hashlib.sha256(WEIGHTS).hexdigest()[:8]}.pth'
    assert zoo.fetch_weights('mine') == zoo.resolve_checkpoint('mine') == path
    assert len(server.requests) == 1


def test_a_damaged_file_in_the_cache_is_replaced(write_index, server, caplog):
    write_index(server.url('files/mine.pth'))
    path = zoo.fetch_weights('mine')
    path.write_bytes(b'x' * len(WEIGHTS))
    assert zoo.fetch_weights('mine').read_bytes() == WEIGHTS
    assert 'is damaged' in caplog.text


def test_no_network_is_needed_for_what_is_there(write_index, server, monkeypatch):
    write_index(server.url('files/mine.pth'))
    monkeypatch.setenv('MIXFORMERV2_OFFLINE', '1')
    with pytest.raises(zoo.OfflineError, match=r'MIXFORMERV2_OFFLINE forbids to download http'):
        zoo.fetch_weights('mine')
    assert not server.requests
    monkeypatch.delenv('MIXFORMERV2_OFFLINE')
    path = zoo.fetch_weights('mine')
    monkeypatch.setenv('MIXFORMERV2_OFFLINE', '1')
    assert zoo.fetch_weights('mine') == path


def test_mirrors_are_asked_in_order(write_index, server, monkeypatch):
    write_index(server.url('files/mine.pth'))
    monkeypatch.setenv('MIXFORMERV2_MIRRORS', f'{server.url("two/")} {server.url("three")}')
    server.files['three/mine.pth'] = WEIGHTS
    zoo.fetch_weights('mine', mirrors=[server.url('one')], patience=PATIENCE)
    asked = [path for path, _ in server.requests]
    assert asked == ['/one/mine.pth', '/two/mine.pth', '/three/mine.pth']
    monkeypatch.setenv('MIXFORMERV2_MIRRORS', 'somewhere')
    with pytest.raises(zoo.ZooError, match="the mirror is 'somewhere'; expected an address"):
        zoo.fetch_weights('mine', cache='elsewhere')


FETCH = """
import sys, types
sys.modules['mixformerv2_cli'] = types.ModuleType('mixformerv2_cli')  # registers nothing
from mmtrack_mixformerv2.zoo import fetch_weights
print('ready', flush=True)
sys.stdin.readline()
print(fetch_weights('mine'))
"""


def test_two_processes_download_once(write_index, server):
    write_index(server.url('files/mine.pth'))
    command = [sys.executable, '-c', FETCH]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    both = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    for one in both:
        assert one.stdout.readline() == 'ready\n'
    for one in both:
        one.stdin.write('go\n')
        one.stdin.flush()
    paths = {one.communicate()[0].strip() for one in both}
    assert [one.returncode for one in both] == [0, 0]
    assert len(paths) == 1 and Path(*paths).read_bytes() == WEIGHTS
    assert len(server.requests) == 1


def test_a_folder_that_cannot_be_made_is_explained(write_index, server, tmp_path, monkeypatch):
    write_index(server.url('files/mine.pth'))
    (tmp_path / 'file').touch()
    with pytest.raises(zoo.StorageError, match='cannot be created.*choose another folder'):
        zoo.fetch_weights('mine', cache=tmp_path / 'file' / 'cache')


def test_an_archive_becomes_a_folder(write_index, server, environment, tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('tiny/search.onnx', b'graph')
    content = (tmp_path / 'a.zip').read_bytes()
    server.files['a.zip'] = content
    write_index(server.url('a.zip'), content)
    server.answers += [Answer(cut=20)]
    folder = zoo.fetch_weights('mine', patience=PATIENCE)
    assert (folder / 'search.onnx').read_bytes() == b'graph'
    assert zoo.fetch_weights('mine') == folder and len(server.requests) == 2
    assert not list(environment.glob('*.zip'))


def test_an_archive_that_is_refused_leaves_nothing(write_index, server, environment, tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('../evil', b'graph')
    content = (tmp_path / 'a.zip').read_bytes()
    server.files['a.zip'] = content
    write_index(server.url('a.zip'), content)
    with pytest.raises(zoo.ArchiveError, match='leads out'):
        zoo.fetch_weights('mine')
    assert not [path for path in environment.iterdir() if path.suffix != '.lock']
    assert not (tmp_path / 'evil').exists()


def test_own_weights_beside_an_index_have_names_too(write_index, tmp_path):
    write_index('mine.pth')
    with pytest.raises(zoo.WrongFileError, match=r'mine\.pth, .* is missing'):
        zoo.fetch_weights('mine')
    (tmp_path / 'mine.pth').write_bytes(WEIGHTS)
    assert zoo.fetch_weights('mine') == tmp_path / 'mine.pth'
    (tmp_path / 'mine.pth').write_bytes(b'x' * len(WEIGHTS))
    with pytest.raises(zoo.WrongFileError, match='SHA-256.*refresh_metafiles'):
        zoo.fetch_weights('mine')


# ---- wherever a checkpoint is taken ------------------------------------------------------------


def test_what_exists_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert zoo.is_zoo_name(TINY)
    (tmp_path / TINY).touch()
    assert not zoo.is_zoo_name(TINY) and zoo.resolve_checkpoint(TINY) == Path(TINY)


@pytest.mark.parametrize('path', ['nowhere.pth', 'work_dirs/nowhere', '~/nowhere', './nowhere'])
def test_what_looks_like_a_path_stays_one(path):
    assert str(zoo.resolve_checkpoint(path)) == str(Path(path))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')


def test_addresses_stay_addresses():
    assert zoo.resolve_checkpoint('https://host/a.pth') == 'https://host/a.pth'


def test_checkpoints_are_loaded_by_name():
    by_name = CheckpointLoader.load_checkpoint(TINY, 'cpu', logger='silent')
    path = str(zoo.fetch_weights(TINY))
    by_path = CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')
    assert by_name['state_dict'].keys() == by_path['state_dict'].keys()
    with pytest.raises(zoo.UnknownModelError, match=TINY):
        CheckpointLoader.load_checkpoint('mixformerv2-tini', 'cpu', logger='silent')


def test_a_training_may_start_from_a_name_or_learn_from_one():
    cfg = Config(dict(load_from=TINY, model=dict(teacher_checkpoint='mixvit-b-pyramid288')))
    assert parents_of(cfg) == {}
    check_parents(cfg)
    cfg.load_from = 'nowhere'
    with pytest.raises(FileNotFoundError, match='nowhere'):
        check_parents(cfg)


def test_tools_that_look_at_files_take_names(tmp_path, capsys):
    workspace = load_tool('vot/workspace')
    config = str(zoo.find_model(TINY).config)
    args = workspace.parse_args([str(tmp_path / 'vot'), 'vot2022/shorttermbox', config, TINY])
    workspace.check_inputs(args)
    assert str(zoo.fetch_weights(TINY)) in workspace.command_line(args)
    publish = load_tool('model_converters/publish_model')
    assert publish.main([TINY, str(tmp_path / 'small.pth')]) == 0, capsys.readouterr().err
    prune = load_tool('model_converters/prune_checkpoint')
    assert prune.main([TINY, str(tmp_path / 'cut.pth'), '--first', '1']) == 0
