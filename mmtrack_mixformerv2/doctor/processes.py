"""Runs parts of an examination in processes of their own: what crashes there is a finding."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .findings import Finding, Status

MARK = '@finding '  # before every finding among whatever packages print
TIME_LIMIT = 300  # seconds; a package that hangs is a finding too

_PROBE = """
import json, sys
job = json.loads(sys.argv[1])
sys.path[:] = job['path']
space = {'__name__': 'mixformerv2_probe'}
exec(compile(job['source'], 'probes.py', 'exec'), space)
space['main'](job['name'], job['mark'])
"""
_FILES = """
import json, sys, types
job = json.loads(sys.argv[1])
sys.path[:] = job['path']
# Tells the package not to import OpenMMLab before what can be found out without it.
sys.modules.setdefault('mixformerv2_cli', types.ModuleType('mixformerv2_cli'))
from mmtrack_mixformerv2.doctor.files import main
main(job)
"""


def run_probe(name: str, *, time_limit: float = TIME_LIMIT) -> list[Finding]:
    """What a probe of :mod:`.probes` finds."""
    source = Path(__file__).with_name('probes.py').read_text(encoding='utf-8')
    job = {'name': name, 'source': source}
    return run_process(_PROBE, job, section='backends', check=name, time_limit=time_limit)


def run_files(job: dict[str, Any], *, time_limit: float = 4 * TIME_LIMIT) -> list[Finding]:
    """What :mod:`.files` finds; ``job`` has the arguments of :func:`.files.examine_files`."""
    return run_process(_FILES, job, section='backends', check='openmmlab', time_limit=time_limit)


def run_process(
    code: str, job: dict[str, Any], *, section: str, check: str, time_limit: float = TIME_LIMIT
) -> list[Finding]:
    """Run Python code with this interpreter and its search path, and collect its findings.

    Args:
        code: Reads ``job`` as JSON from its first argument, and prints findings behind ``MARK``.
        job: Gets ``path``, where modules are looked for, and ``mark``.
        section: Of the finding, if the process does not end well.
        check: Likewise.
        time_limit: Seconds.
    """
    job = {**job, 'path': [os.path.abspath(one) for one in sys.path], 'mark': MARK}
    command = [sys.executable, '-W', 'ignore', '-c', code, json.dumps(job)]
    environment = {**os.environ, 'PYTHONIOENCODING': 'utf-8', 'OPENCV_LOG_LEVEL': 'SILENT'}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=time_limit,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        text = f'{check} did not answer within {time_limit:g} s'
        stopped = Finding(section, check, Status.PROBLEM, text, facts={check: {'works': False}})
        return [*_findings(error.stdout or b''), stopped]
    found = _findings(done.stdout)
    if done.returncode:
        found.append(_crash(section, check, done.returncode, done.stderr))
    return found


def _findings(output: bytes) -> list[Finding]:
    lines = output.decode('utf-8', errors='replace').splitlines()
    marked = [line.partition(MARK)[2] for line in lines if MARK in line]
    return [Finding.from_dict(json.loads(line)) for line in marked if line.endswith('}')]


def _crash(section: str, check: str, code: int, output: bytes) -> Finding:
    lines: Sequence[str] = output.decode('utf-8', errors='replace').strip().splitlines()
    if code < 0:
        try:
            how = f'was ended by {signal.Signals(-code).name}'
        except ValueError:
            how = f'was ended by signal {-code}'
    else:
        how = f'ended with status {code}'
    last = f': {lines[-1][:400]}' if lines else ''
    return Finding(
        section,
        check,
        Status.PROBLEM,
        f'the process that tries {check} {how}{last}',
        facts={check: {'works': False}},
    )
