"""What a wheel of the package brings along, and that an installed one finds it."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import sys
sys.path += sys.argv[1:]
from mmtrack_mixformerv2 import zoo
from mmtrack_mixformerv2.zoo import index
assert 'torch' not in sys.modules and 'mmengine' not in sys.modules
print(index.__file__)
print(zoo.fetch_weights('mixformerv2-tiny'))
print(zoo.find_model('mixformerv2-b').config)
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """Built by pip from a copy, since setuptools writes into the source tree."""
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    names = ['configs', 'mmtrack_mixformerv2', 'tools', 'weights', 'setup.py', 'pyproject.toml']
    names += ['requirements.txt', 'requirements-docs.txt', 'LICENSE', 'MANIFEST.in', 'README.md']
    for name in [*names, 'model-index.yml', 'mixformerv2_cli.py']:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', 'wheel', '--quiet']
    options = ['--no-deps', '--no-build-isolation', '--no-index', '--wheel-dir', str(out)]
    subprocess.run([*pip, *options, str(source)], check=True)
    assert not (source / 'mmtrack_mixformerv2' / '.mim').exists()
    return next(out.glob('*.whl'))


def test_the_wheel_has_what_the_repository_has(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = (name for name in names if name.endswith('entry_points.txt'))
        assert 'mixformerv2 = mixformerv2_cli:main' in archive.read(points).decode()
    inside = 'mmtrack_mixformerv2/.mim/'
    for folder in ('configs', 'tools', 'weights'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and path.suffix not in ('.pyc', '.log'):
                assert inside + path.relative_to(ROOT).as_posix() in names
    assert {f'{inside}model-index.yml', 'mixformerv2_cli.py'} <= names
    for path in (ROOT / 'mmtrack_mixformerv2').rglob('*'):
        if path.is_file() and path.suffix != '.pyc' and '.mim' not in path.parts:
            assert path.relative_to(ROOT).as_posix() in names, 'say so in package_data of setup.py'
    assert not [name for name in names if '__pycache__' in name or name.startswith('tests')]


def test_an_installed_package_finds_its_models(wheel, tmp_path):
    site, needed = tmp_path / 'site', tmp_path / 'needed'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    needed.mkdir()
    for package in ('PyYAML', 'tqdm', 'filelock'):
        distribution = importlib.metadata.distribution(package)
        for part in {path.parts[0] for path in distribution.files} - {'..', '__pycache__'}:
            (needed / part).symlink_to(distribution.locate_file(part))
    command = [sys.executable, '-I', '-S', '-c', SCRIPT, str(site), str(needed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [Path(line).relative_to(site / 'mmtrack_mixformerv2') for line in done.stdout.split()]
    assert found == [
        Path('zoo/index.py'),
        Path('.mim/weights/mixformerv2-tiny_synthetic.pth'),
        Path('.mim/configs/mixformerv2/mixformerv2-b_test-lasot.py'),
    ]
