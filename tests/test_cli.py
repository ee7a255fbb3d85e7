"""The command line: quick help, exit codes, and errors without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mmtrack_mixformerv2 import cli
from mmtrack_mixformerv2.version import __version__


def run(*argv: str, **variables: str) -> subprocess.CompletedProcess:
    code = 'import sys; from mixformerv2_cli import main; sys.exit(main())'  # as pip writes it
    command = [sys.executable, '-c', code, *argv]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})


def test_help_teaches_and_imports_neither_torch_nor_openmmlab():
    done = run('--help', PYTHONPROFILEIMPORTTIME='1')
    assert done.returncode == 0
    for name in cli.COMMANDS:
        assert f'  {name} ' in done.stdout
    imported = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
    assert 'mmtrack_mixformerv2.cli' in imported
    assert not {'torch', 'mmengine', 'mmtrack', 'gradio', 'matplotlib'} & imported


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_each_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([name, '--help'])
    assert end.value.code == 0
    assert f'usage: mixformerv2 {name}' in capsys.readouterr().out


@pytest.mark.parametrize('argv', [[], ['trak'], ['track'], ['track', 'a', '--nonsense']])
def test_wrong_usage_is_exit_code_2(argv, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(argv)
    assert end.value.code == cli.WRONG_USAGE
    command = ' track' if argv[:1] == ['track'] else ''
    assert f'usage: mixformerv2{command} [' in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(['--version'])
    assert capsys.readouterr().out == f'mixformerv2 {__version__}\n'


@pytest.mark.parametrize(
    ('error', 'code', 'text'),
    [
        (ValueError('bad box'), 1, 'error: bad box\n'),
        (PermissionError(13, 'Permission denied', 'out.txt'), 1,
         'error: out.txt: Permission denied\n'),
        (ImportError('gradio is missing'), 1, 'error: gradio is missing\n'),
        (KeyboardInterrupt(), 130, 'interrupted\n'),
    ],
)  # fmt: skip
def test_what_a_command_raises_becomes_a_line(error, code, text, monkeypatch, capsys):
    from mmtrack_mixformerv2.cli import download

    def fail(args):
        raise error

    monkeypatch.setattr(download, 'run', fail)
    assert cli.main(['download']) == code
    assert capsys.readouterr().err == text


def test_a_fault_of_ours_is_shown_as_one(monkeypatch):
    from mmtrack_mixformerv2.cli import download

    def fail(args):
        raise AssertionError('cannot happen')

    monkeypatch.setattr(download, 'run', fail)
    with pytest.raises(AssertionError):
        cli.main(['download'])
