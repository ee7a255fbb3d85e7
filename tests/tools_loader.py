"""Scripts of ``tools/``: imported as a module, to call their ``main``, or run as a process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).resolve().parents[1] / 'tools'


def load_tool(name: str) -> ModuleType:
    """Module of ``tools/<name>.py``."""
    spec = importlib.util.spec_from_file_location(Path(name).name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_tool(script: str, *arguments: str) -> str:
    """Run a script of the tools folder and return everything it printed."""
    interpreter = 'bash' if script.endswith('.sh') else sys.executable
    result = subprocess.run(
        [interpreter, str(TOOLS / script), *arguments],
        env={
            **os.environ,
            'PYTHON': sys.executable,
            'PYTHONPATH': os.pathsep.join(map(str, (TOOLS.parent, TOOLS.parent / 'tests'))),
            'OMP_NUM_THREADS': '1',
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=TOOLS.parent,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout
