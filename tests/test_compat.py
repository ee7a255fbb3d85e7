"""mmtrack can be imported here, and what was done to that end is undone or says what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import mmcv
import mmcv.version
import pytest
import torch
from mmengine.utils.dl_utils import mmcv_full_available

import mmtrack_mixformerv2

ROOT = Path(__file__).resolve().parents[1]

# What `import mmtrack_mixformerv2` does first, without the seconds that the rest of it takes.
ENSURE = (
    'import runpy\n'
    f"runpy.run_path({str(ROOT / 'mmtrack_mixformerv2' / 'compat.py')!r})['ensure_mmtrack']()\n"
)

needs_mmcv_lite = pytest.mark.skipif(
    mmcv_full_available(), reason='the installed mmcv has compiled operators, nothing is replaced'
)


def run_python(
    *arguments: str, packages: Path | None = None, check: bool = False
) -> subprocess.CompletedProcess:
    """Run a fresh interpreter in which the packages in a folder come before the installed ones."""
    paths = [str(ROOT), *([str(packages)] if packages else [])]
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(reversed(paths))},
        capture_output=True,
        text=True,
        check=check,
    )


def write_package(folder: Path, name: str, code: str) -> Path:
    """Write a package that consists of ``code`` and return the folder to import it from."""
    (folder / name).mkdir(parents=True)
    (folder / name / '__init__.py').write_text(code, encoding='utf-8')
    return folder


def test_true_version_of_mmcv_is_visible_after_import():
    assert mmcv.__version__ == mmcv.version.__version__


def test_true_version_of_mmcv_is_restored_when_the_import_fails(tmp_path):
    packages = write_package(tmp_path, 'mmcls', 'raise RuntimeError("broken on purpose")')
    code = (
        'import mmcv, mmcv.version\n'
        'try:\n'
        '    import mmtrack_mixformerv2\n'
        'except RuntimeError as error:\n'
        '    print(error, mmcv.__version__ == mmcv.version.__version__)\n'
    )
    assert run_python('-c', code, packages=packages).stdout == 'broken on purpose True\n'


@needs_mmcv_lite
def test_calling_a_compiled_operator_says_what_to_install():
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    with pytest.raises(NotImplementedError, match="'nms' is not available.*install a full mmcv"):
        nms(boxes, torch.ones(1), 0.5)


@needs_mmcv_lite
def test_the_missing_extension_does_not_pretend_to_be_there():
    assert importlib.util.find_spec('mmcv._ext').loader is None
    assert not mmcv_full_available()
    assert not hasattr(sys.modules['mmcv._ext'], '__file__')


def test_a_full_mmcv_is_left_alone(tmp_path):
    # An extension that can be imported is what tells a full mmcv; its operators stay the real ones.
    code = (
        'import sys, mmcv\n'
        f'mmcv.__path__.append({str(tmp_path)!r})\n'
        f'{ENSURE}'
        'from mmcv import _ext\n'
        'print(_ext.nms(), sys.modules["mmcv._ext"].__file__)'
    )
    file = tmp_path / '_ext.py'
    file.write_text('def __getattr__(name):\n    return lambda: "real " + name\n')
    assert run_python('-c', code, check=True).stdout == f'real nms {file}\n'


def test_a_broken_vot_package_is_hidden(tmp_path):
    packages = write_package(tmp_path, 'vot', 'raise TypeError("broken on purpose")')
    code = (
        f'{ENSURE}'
        'import mmtrack.evaluation\n'
        'try:\n'
        '    import vot\n'
        'except ImportError:\n'
        '    print("hidden")\n'
    )
    assert run_python('-c', code, packages=packages, check=True).stdout == 'hidden\n'


COMMAND = 'python -m pip install --no-deps'


def last_line(*arguments: str, **settings) -> str:
    """Last line of what an interpreter says that has to fail."""
    result = run_python(*arguments, **settings)
    assert result.returncode == 1
    return result.stderr.splitlines()[-1].strip()


def test_the_second_command_names_what_is_missing(tmp_path):
    code = 'import mmtrack_mixformerv2'
    # -S leaves the installed packages out, so that both are really missing.
    expected = f'{COMMAND} mmtrack==1.0.0rc1 mmcv-lite==2.1.0'
    packages = write_package(tmp_path / 'neither', 'mmengine', '')
    assert last_line('-S', '-c', code, packages=packages) == expected
    for there, missing in (('mmcv', 'mmtrack==1.0.0rc1'), ('mmtrack', 'mmcv-lite==2.1.0')):
        packages = write_package(tmp_path / there, 'mmengine', '')
        write_package(packages, there, '')
        assert last_line('-S', '-c', code, packages=packages) == f'{COMMAND} {missing}'


def test_without_openmmlab_the_package_says_what_its_parts_need():
    """Exported models run without; -S leaves all installed packages out."""
    code = 'import mmtrack_mixformerv2 as package; print(package.__version__); package.models'
    result = run_python('-S', '-c', code)
    assert result.stdout == f'{mmtrack_mixformerv2.__version__}\n'
    assert 'mmtrack_mixformerv2.models needs MMTracking' in result.stderr
    assert 'pip install "mmtrack_mixformerv2[full]"' in result.stderr
    assert result.stderr.rstrip().endswith(f'{COMMAND} mmtrack==1.0.0rc1 mmcv-lite==2.1.0')


def test_no_requirement_of_the_package_overwrites_mmcv_or_is_left_out():
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    listed = {re.split('[^a-z0-9-]', line.lower())[0] for line in lines if line[:1].isalpha()}
    assert not {'mmcv', 'mmcv-lite', 'mmtrack'} & listed
    of_mmengine = set(map(name_of, importlib.metadata.requires('mmengine')))
    distribution = importlib.metadata.packages_distributions()['mmcv'][0]
    assert all(
        name_of(need) in listed | of_mmengine
        for need in importlib.metadata.requires(distribution)
        if 'extra ==' not in need and 'win32' not in need
    )


def name_of(requirement: str) -> str:
    """Name of the distribution in a requirement."""
    return re.match('[a-z0-9-]+', requirement.lower())[0]


@pytest.mark.parametrize('library', ['libGL.so.1', 'libgthread-2.0.so.0'])
def test_missing_system_library_names_the_package(tmp_path, library):
    packages = write_package(
        tmp_path,
        'cv2',
        f'raise ImportError("{library}: cannot open shared object file: No such file")',
    )
    result = run_python('-c', 'import mmtrack_mixformerv2', packages=packages)
    message = result.stderr.splitlines()[-1]
    assert result.returncode == 1
    assert message.startswith(f'ImportError: OpenCV cannot be loaded: {library}')
    assert 'libgl1 libglib2.0-0' in message
    assert 'opencv-python-headless' in message


def test_too_new_setuptools_names_the_command():
    code = "import sys; sys.modules['pkg_resources'] = None; import mmtrack_mixformerv2"
    result = run_python('-c', code)
    assert result.returncode == 1
    assert 'pip install "setuptools<81"' in result.stderr.splitlines()[-1]


def test_spawned_workers_can_import_mmtrack(tmp_path):
    # Such a worker imports the main script before it unpickles the data set, whose class is
    # mmtrack's; without our import at the top of the script it would stop at the version gate.
    script = tmp_path / 'script.py'
    script.write_text(
        f'{ENSURE}'
        'from mmtrack.structures import TrackDataSample\n'
        'from torch.utils.data import DataLoader\n'
        "if __name__ == '__main__':\n"
        "    samples = [TrackDataSample(metainfo={'frame_id': i}) for i in range(3)]\n"
        '    loader = DataLoader(samples, batch_size=None, num_workers=1,\n'
        "                        multiprocessing_context='spawn')\n"
        '    print([sample.frame_id for sample in loader])\n'
    )
    assert run_python(str(script), check=True).stdout == '[0, 1, 2]\n'


def test_a_second_call_changes_nothing():
    from mmtrack_mixformerv2.compat import ensure_mmtrack

    modules = dict(sys.modules)
    ensure_mmtrack()
    assert modules == dict(sys.modules)
