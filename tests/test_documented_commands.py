"""Every command in the README and the documents runs, in small; see ``workshop.py``."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from documents import ROOT, Document, Source, documents
from tools_loader import load_tool
from workshop import Workshop, in_small, without_variables

from mmtrack_mixformerv2.cli import parse_args
from mmtrack_mixformerv2.datasets.info_files.entries import compare_names
from mmtrack_mixformerv2.evaluation.submissions import SERVERS

DOCUMENTS = documents()
# Commands that are not run here, and why. Where a test is named, it runs them, or what they call.
NOT_RUN = {
    r'make \w+': 'installs; the Makefile has the target (test_readme.py)',
    r'(python -m )?pip ': 'changes the environment',
    r'\. \.venv/bin/activate': 'changes the shell',
    r'(ruff |python -m pytest )': 'would change files, or run tests within tests',
    r'python docs/option_tables.py': 'would write docs/options.md; tests/test_docs.py compares it',
    r'bash tools/dist_train': 'starts 8 processes; tests/test_engine_runtime.py starts two',
    r'bash tools/dist_test': 'starts 8 processes; tests/test_lock_step_loop.py starts two',
    r'python tools/train_chain.py --gpus': 'needs 8 GPUs; tests/test_train_chain.py reads it',
    r'\.venv-vot/bin/vot ': 'has its own environment; tests/test_vot_toolkit.py where it is there',
    r'(cmake|build/cpp/)': 'needs a compiler; tests/test_cpp_example.py where there is one',
    r'opt_in_out': 'a setting of NNCF, which is not ours',
    r'.*/compare_protocols.py': 'takes a quarter of a minute; tests/test_toolkit_comparison.py',
    r'.*/benchmark_eval.py': 'measures for long; tests/test_benchmark_eval.py',
    r'.*/compare_stages.py': 'measures for long; tests/test_compare_stages.py',
    r'python tools/test.py .*-s_test-(?!lasot.py)': 'as that of B, which has the same sizes here',
    r'.* --dtype int8': 'takes minutes; tests/test_quantization.py and tests/test_export_tool.py',
    r'python tools/analysis_tools/calibrate.py': 'needs a tracker that finds its targets; '
    'tests/test_calibration.py',
    r'mixformerv2 compare': 'measures for long; tests/test_cli_compare.py',
    r'mixformerv2 download .*--from': 'needs the released file; tests/test_zoo_published.py',
    r'mixformerv2 demo': 'serves until it is stopped; tests/test_web.py drives it',
    r'mixformerv2 doctor': 'starts many processes; tests/test_doctor_environment.py and others',
    r'mixformerv2 track 0 ': 'needs a camera and a mouse',
    r'mixformerv2 \w+ --help': 'ends with SystemExit; tests/test_cli.py',
}
# Documents whose commands read what those of others write.
AFTER = {
    'docs/evaluation.md': 'docs/benchmarks.md',
    'docs/models.md': 'docs/training.md',
    'docs/distillation.md': 'docs/training.md',
}
# What makes the data and the weights that many documents go on with.
FIRST = (
    r'python tools/(render_sequences|model_converters/convert_checkpoint|'
    r'dataset_converters/write_infos)\.py (?!folder)'
)


def why_not(command: str) -> str | None:
    """The reason why a command is not run."""
    command = without_variables(command)
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, command)), None)


def all_commands() -> list[Source]:
    """Every command once, with the first document that has it."""
    found = {command: one.name for one in reversed(DOCUMENTS) for command in one.commands}
    return [Source(name, command) for command, name in found.items()]


@pytest.fixture(scope='module')
def small_world(tmp_path_factory) -> Iterator[None]:
    """Official lists have what our benchmarks have; there is no network, nor a cache of weights."""

    def without_problems(*args, **settings):
        listing = compare_names(*args, **settings)
        listing.problems.clear()
        return listing

    layouts = 'mmtrack_mixformerv2.datasets.info_files.layouts'
    with pytest.MonkeyPatch.context() as patch:
        for name, server in SERVERS.items():
            patch.setitem(SERVERS, name, replace(server, sequences=2))
        patch.setattr(f'{layouts}.compare_names', without_problems)
        patch.setattr(f'{layouts}.expect_count', lambda *args: None)
        patch.setenv('MIXFORMERV2_HOME', str(tmp_path_factory.mktemp('cache')))
        patch.setenv('MIXFORMERV2_OFFLINE', '1')
        patch.delenv('MIXFORMERV2_INDEX', raising=False)
        yield


@pytest.fixture(scope='module')
def workshop(small_world, tmp_path_factory, exported_tracker) -> Workshop:
    workshop = Workshop(tmp_path_factory.mktemp('workshop'), exported_tracker)
    for _, command in all_commands():
        if re.match(FIRST, command):
            workshop.prepare(command)
    return workshop


def run_all(document: Document, workshop: Workshop) -> None:
    """Run the commands of a document, in their order, after those that they build on."""
    if document.name in AFTER:
        run_all(next(one for one in DOCUMENTS if one.name == AFTER[document.name]), workshop)
    workshop.save_files(document)
    for command in document.commands:
        if why_not(command) is None:
            workshop.run(command)


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda document: document.name)
def test_commands_run(document, workshop):
    run_all(document, workshop)


@pytest.mark.parametrize(
    'command',
    [one.command for one in all_commands() if why_not(one.command)],
)
def test_commands_that_are_not_run_are_understood(command, workshop, monkeypatch):
    """Options are read, and the tests that are said to do the rest are there."""
    for name in re.findall(r'tests/\w+\.py', why_not(command)):
        assert (ROOT / name).is_file(), f'{name} was to run {command}'
    for name in re.findall(r'(?<![\w/])(?:tests|tools|configs)/[\w/-]+\.\w+', command):
        assert Path(ROOT, name).is_file(), f'{command} names {name}, which is not there'
    monkeypatch.chdir(workshop.folder)
    words = shlex.split(in_small(command))
    if words[0] == 'mixformerv2' and '--help' not in words:
        parse_args(words[1:])
    script = re.search(r'tools/([\w/]+)\.(py|sh)$', words[min(1, len(words) - 1)])
    if script:
        name = script[1].removeprefix('dist_')
        rest = words[2:-1] if script[2] == 'sh' else words[2:]  # without the number of processes
        monkeypatch.setattr('sys.argv', [name, *rest])
        load_tool(name).parse_args()


def test_commands_are_found():
    """The search finds commands in blocks, in loops and between back quotes."""
    commands = {one.command for one in all_commands()}
    assert {
        'mixformerv2 doctor',
        'python tools/analysis_tools/get_flops.py CONFIG',
        'python tools/test.py configs/mixformerv2/mixformerv2-s_test-nfs30.py '
        'checkpoints/mixformerv2-s.pth',
    } <= commands
    for pattern in NOT_RUN:
        assert any(re.match(pattern, command) for command in commands), f'{pattern} is not needed'
    assert sum(why_not(command) is None for command in commands) > 50


def test_a_command_that_fails_is_named(workshop):
    with pytest.raises(AssertionError, match='python tools/test.py no_config.py'):
        workshop.run('python tools/test.py no_config.py no_weights.pth')
    with pytest.raises(AssertionError, match='nobody knows how to run .*NOT_RUN'):
        workshop.run('perl tools/test.pl')
    assert os.getcwd() != str(workshop.folder)
