"""The doctor in installations that are broken, each really broken for a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mmtrack_mixformerv2.doctor import Finding, Report, Status
from mmtrack_mixformerv2.doctor.environment import broken_rules, installed_versions
from mmtrack_mixformerv2.doctor.processes import run_probe, run_process
from mmtrack_mixformerv2.doctor.rules import PACKAGES, RULES

REPO = Path(__file__).resolve().parents[1]
GOOD = {
    'python': '3.11.7',
    'torch': '2.13.0+cpu',
    'numpy': '2.4.6',
    'opencv-python': '5.0.0.93',
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmdet': '3.0.0rc4',
    'mmcls': '1.0.0rc6',
    'mmtrack': '1.0.0rc1',
    'setuptools': '80.10.2',
    'pkg_resources': 'unknown',
}
# What pip makes the command `mixformerv2` of.
SCRIPT = 'import sys; from mixformerv2_cli import main; sys.exit(main())'
# Hides packages as if they had never been installed: the finder of the search path is blind.
HIDE = """
import importlib.machinery, os

_find = importlib.machinery.PathFinder.find_spec

def find_spec(name, path=None, target=None):
    if name.partition('.')[0] not in os.environ['HIDDEN'].split():
        return _find(name, path, target)

importlib.machinery.PathFinder.find_spec = find_spec
"""


def versions(**changes: str | None) -> dict[str, dict[str, str]]:
    """An installation, as ``installed_versions`` describes it; None removes a distribution."""
    named = {name.replace('__', '-'): version for name, version in changes.items()}
    there = {name: v for name, v in {**GOOD, **named}.items() if v is not None}
    found = {'python': {'python': there['python']}}
    for name, package in PACKAGES.items():
        known = package.distributions or (name,)
        found[name] = {one: there[one] for one in known if one in there}
    return found


def broken_names(**changes: str | None) -> set[str]:
    return {one.check.removeprefix('rule.') for one in broken_rules(versions(**changes))}


def doctor(
    tmp_path: Path, *arguments: str, hidden: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the command where packages are hidden; also gives the lines of its output."""
    (tmp_path / 'sitecustomize.py').write_text(HIDE)
    places = os.pathsep.join([str(tmp_path), str(REPO)])
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, 'doctor', *arguments],
        env={**os.environ, 'PYTHONPATH': places, 'HIDDEN': hidden},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert 'Traceback' not in done.stdout + done.stderr
    return done, done.stdout.splitlines()


def fake(folder: Path, module: str, code: str) -> None:
    """Write a package that is found before the installed one."""
    (folder / module).mkdir()
    (folder / module / '__init__.py').write_text(textwrap.dedent(code))


def test_a_good_installation_breaks_no_rule():
    assert broken_names() == set()


@pytest.mark.parametrize(
    ('changes', 'rule', 'remedy'),
    [
        ({'mmtrack': None}, 'mmtrack-missing', '--no-deps mmtrack==1.0.0rc1'),
        ({'mmdet': '3.0.0rc5'}, 'mmdet-rc5', 'mmdet==3.0.0rc4'),
        ({'mmdet': '3.3.0'}, 'mmdet-rc6', 'mmdet==3.0.0rc4'),
        ({'numpy': '1.26.4'}, 'numpy-1', 'numpy>=2.0'),
        ({'torch': '2.5.1+cu121'}, 'torch-old', 'torch>=2.6'),
        ({'setuptools': '82.0.0', 'pkg_resources': None}, 'pkg-resources', 'setuptools<81'),
        ({'setuptools': '81.0.0'}, 'setuptools-81', 'setuptools<81'),
        ({'mmcv': '2.1.0'}, 'mmcv-twice', 'uninstall'),
        ({'opencv__python__headless': '4.10.0.84'}, 'opencv-twice', 'uninstall'),
        ({'vot__toolkit': '0.7.4', 'attributee': '0.1.10'}, 'attributee', 'attributee==0.1.9'),
        ({'python': '3.9.19'}, 'python-old', 'venv'),
    ],
)
def test_a_bad_combination_is_named_with_its_remedy(changes, rule, remedy):
    (found,) = broken_rules(versions(**changes))
    assert found.check == f'rule.{rule}'
    assert remedy in found.remedy


def test_without_openmmlab_nothing_is_wrong_but_less_works():
    gone = dict.fromkeys(('mmengine', 'mmtrack', 'mmdet', 'mmcls', 'mmcv-lite', 'torch'))
    (found,) = broken_rules(versions(**gone))
    assert (found.check, found.status) == ('rule.client-only', Status.NOTE)


def test_rules_have_names_of_their_own_and_packages_that_exist():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert set(rule.when) <= {'python', *PACKAGES}
        assert rule.reason and rule.remedy


def test_versions_come_from_metadata_and_need_the_module(tmp_path, monkeypatch):
    info = tmp_path / 'mmdet-3.3.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmdet\nVersion: 3.3.0\n')
    monkeypatch.syspath_prepend(tmp_path)
    found = installed_versions()
    assert found['mmdet'] == {'mmdet': '3.3.0'}
    assert 'rule.mmdet-rc6' in [one.check for one in broken_rules(found)]
    assert found['pkg_resources'] and 'numpy' in found['numpy']


def test_everything_may_be_missing(tmp_path):
    hidden = 'torch mmengine mmtrack mmdet mmcls mmcv onnxruntime openvino nncf gradio tensorrt'
    weights = REPO / 'weights' / 'mixformerv2-tiny_synthetic.pth'
    done, lines = doctor(tmp_path, '--json', '-', hidden=hidden)
    report = json.loads(done.stdout)
    assert (done.returncode, report['exit_code'], report['format']) == (0, 0, 1)
    assert report['environment']['versions']['torch'] is None
    assert report['backends']['onnxruntime'] == {'works': False, 'installed': False}
    assert report['backends']['opencv']['works'] and report['backends']['codecs']['MJPG']
    assert report['checkpoint'] is report['dataset'] is None

    done, lines = doctor(tmp_path, str(weights), 'data', '--json', 'out.json', hidden=hidden)
    assert done.returncode == 1
    assert any('cannot be read without torch' in line for line in lines)
    assert lines[-1] == '2 problems found'
    written = json.loads((tmp_path / 'out.json').read_text())
    bad = {one['section']: one for one in written['findings'] if one['status'] == 'problem'}
    assert set(bad) == {'checkpoint', 'dataset'} and 'torch' in bad['checkpoint']['remedy']
    assert 'needs torch and OpenMMLab' in bad['dataset']['message']


def test_openmmlab_without_mmtrack_is_a_problem(tmp_path):
    done, lines = doctor(tmp_path, hidden='torch mmtrack onnxruntime openvino nncf gradio')
    assert done.returncode == 1
    assert any('python -m pip install --no-deps mmtrack==1.0.0rc1' in line for line in lines)
    assert any('mmtrack cannot be used' in line for line in lines)


def test_a_broken_torch_does_not_stop_the_rest(tmp_path):
    fake(tmp_path, 'torch', "raise OSError('libtorch_cpu.so: undefined symbol')")
    weights = REPO / 'weights' / 'mixformerv2-tiny_synthetic.pth'
    hidden = 'onnxruntime openvino nncf gradio'
    done, _ = doctor(tmp_path, str(weights), 'data', '--json', '-', hidden=hidden)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    bad = [one['check'] for one in report['findings'] if one['status'] == 'problem']
    assert bad == ['torch', 'openmmlab', 'file', 'layout']


@pytest.mark.parametrize(
    ('module', 'code', 'said', 'remedy'),
    [
        (
            'cv2',
            "raise ImportError('libGL.so.1: cannot open shared object file: No such file')",
            'libGL.so.1',
            'apt-get install libgl1',
        ),
        ('torch', "raise OSError('libcudart.so.12: wrong ELF class')", 'wrong ELF class', 'torch'),
        ('openvino', 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)', 'SIGSEGV', ''),
        ('nncf', 'import sys; sys.exit(3)', 'status 3', ''),
        ('gradio', '', "no attribute 'Interface'", 'gradio'),
    ],
)
def test_a_package_that_breaks_is_a_finding(tmp_path, monkeypatch, module, code, said, remedy):
    fake(tmp_path, module, code)
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = run_probe({'cv2': 'opencv'}.get(module, module))
    assert found.status is Status.PROBLEM
    assert said in found.message and remedy in found.remedy
    assert found.facts[found.check] == {'works': False}


def test_a_package_that_hangs_is_a_finding():
    (found,) = run_process(
        'import threading; threading.Event().wait()',
        {},
        section='backends',
        check='torch',
        time_limit=0.5,
    )
    assert found.status is Status.PROBLEM and 'did not answer' in found.message


def test_what_was_found_before_a_crash_is_kept():
    code = """
    import json, os, sys
    mark = json.loads(sys.argv[1])['mark']
    print('Welcome!', mark + json.dumps(dict(section='backends', check='a', status='ok',
                                             message='fine')), flush=True)
    os.abort()
    """
    found = run_process(textwrap.dedent(code), {}, section='backends', check='b')
    assert [(one.check, one.status) for one in found] == [('a', Status.OK), ('b', Status.PROBLEM)]
    assert 'SIGABRT' in found[1].message


def test_runtimes_that_are_installed_run_a_graph():
    pytest.importorskip('onnxruntime')
    (found,) = run_probe('onnxruntime')
    assert found.status is Status.OK and found.facts['onnxruntime']['works']


def test_the_worst_finding_decides():
    def report(*statuses: Status) -> Report:
        return Report([Finding('backends', 'x', status, 'text') for status in statuses])

    assert report(Status.OK, Status.NOTE).status is Status.OK
    assert report(Status.WARNING, Status.OK).exit_code == 0
    assert report(Status.WARNING, Status.PROBLEM).exit_code == 1
    assert report(Status.PROBLEM, Status.WARNING).summary() == '1 problem and 1 warning found'
    assert report(Status.OK).as_text() == 'What works\n  ok       text\n\nno problem found'


def test_remedies_stand_below_what_they_mend():
    finding = Finding('backends', 'x', Status.WARNING, 'a ' * 60, 'one\ntwo')
    lines = list(finding.lines())
    assert lines[-2].strip() == '-> one' and lines[-1].strip() == 'two'
    assert max(map(len, lines)) <= 100
