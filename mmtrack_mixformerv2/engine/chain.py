"""Trainings that start from each other's checkpoints: what a stage needs, and how far it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..datasets import check_data_files
from ..zoo import is_zoo_name
from .launching import read_config
from .resume import is_complete, latest_checkpoint, step_of

_WORK_DIRS = 'work_dirs'  # where the configs expect the files of other stages
_CONFIG_FOLDERS = (Path('configs'), Path(__file__).resolve().parents[2] / 'configs')


def parents_of(cfg: Config) -> dict[str, str]:
    """Files with weights that a training starts from or learns from, by the name of the setting.

    These are ``load_from``, ``model.teacher_checkpoint`` and the ``checkpoint`` of each
    ``init_cfg`` in the model. What is to be downloaded is left out, and so are names of the zoo.
    """
    found = {'load_from': cfg.get('load_from'), **dict(_weights_in(cfg.get('model'), 'model'))}
    return {
        name: str(path)
        for name, path in found.items()
        if path and '://' not in str(path) and not is_zoo_name(path)
    }


def _weights_in(settings: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(settings, (list, tuple)):
        settings = dict(enumerate(settings))
    if not isinstance(settings, Mapping):
        return
    if settings.get('type') == 'Pretrained':
        yield f'{name}.checkpoint', settings['checkpoint']
    for key, value in settings.items():
        if key == 'teacher_checkpoint':
            yield f'{name}.{key}', value
        elif key != 'teacher':  # its own start does not matter
            yield from _weights_in(value, f'{name}.{key}')


def which_config_makes(path: str | Path) -> str | None:
    """The config ``NAME.py`` that makes ``work_dirs/NAME/epoch_N.pth``, if there is one."""
    name = Path(path).parent.name
    for folder in _CONFIG_FOLDERS if step_of(path) is not None else ():
        for found in sorted(folder.rglob(f'{name}.py')):
            return os.path.relpath(found)
    return None


def missing_file(name: str, path: str) -> str:
    """Message about a file that does not exist, and what makes it."""
    config = which_config_makes(path)
    how = f'; run: python tools/train.py {config}' if config else ''
    if step_of(path) is None:  # no checkpoint of a training
        how = (
            '; download the published weights and convert them with '
            'tools/model_converters/convert_checkpoint.py, or name another file'
        )
    return f'the checkpoint file {path} does not exist (setting {name}){how}'


def check_parents(cfg: Config) -> None:
    """Look for the files that a training starts from or learns from.

    Raises:
        FileNotFoundError: If one does not exist; says which config makes it.
    """
    for name, path in parents_of(cfg).items():
        if not Path(path).expanduser().is_file():
            raise FileNotFoundError(missing_file(name, path))


@dataclass
class Stage:
    """One training of a chain.

    Attributes:
        config: Path of the config file.
        work_dir: Its folder.
        length: Epochs or iterations of the whole training.
        unit: ``'epoch'`` or ``'iteration'``.
        final: The checkpoint that it ends with.
        parents: Files that it needs, by the name of the setting.
        moved: Settings that differ from the config because the chain is in another folder.
    """

    config: str
    work_dir: Path
    length: int
    unit: str
    final: Path
    parents: dict[str, str]
    moved: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the config."""
        return Path(self.config).stem

    @property
    def finished(self) -> bool:
        """Whether the final checkpoint is there, and complete."""
        return is_complete(self.final)

    @property
    def done(self) -> int:
        """Epochs or iterations that a resumed training need not do again."""
        if self.finished:
            return self.length
        checkpoint = latest_checkpoint(self.work_dir)
        return (checkpoint and step_of(checkpoint)) or 0

    @property
    def state(self) -> str:
        """``finished``, ``interrupted at epoch 2 of 4`` or ``to do``."""
        if self.finished:
            return 'finished'
        done = self.done
        return f'interrupted at {self.unit} {done} of {self.length}' if done else 'to do'

    @property
    def seconds(self) -> float:
        """Time spent in this stage so far: from the start of each run to its last line of log."""
        total = 0.0
        for log in self._logs():
            started = datetime.strptime(log.stem, '%Y%m%d_%H%M%S').timestamp()
            total += max(0.0, log.stat().st_mtime - started)
        return total

    @property
    def log(self) -> Path | None:
        """MMEngine's log of the last run."""
        return max(self._logs(), default=None)

    def _logs(self) -> Iterator[Path]:
        return self.work_dir.glob('[0-9]*_[0-9]*/[0-9]*_[0-9]*.log')

    @property
    def losses(self) -> dict[str, float]:
        """The losses that were logged last."""
        for scalars in sorted(self.work_dir.glob('*/vis_data/scalars.json'), reverse=True):
            for line in reversed(scalars.read_text(errors='replace').splitlines()):
                try:
                    entry = json.loads(line)
                except ValueError:  # cut off in the middle of the line
                    continue
                if isinstance(entry, dict) and 'loss' in entry:
                    return {k: v for k, v in entry.items() if 'loss' in k}
        return {}


def read_chain(
    configs: Sequence[str],
    options: Mapping[str, Any] | None = None,
    work_root: str | Path | None = None,
) -> list[Stage]:
    """Read the configs of a chain and check that each stage will find what it needs.

    Args:
        configs: Config files in the order of the training.
        options: Settings to override in every one, by dotted name.
        work_root: Folder for all work directories, in place of ``work_dirs``, also in the paths of
            the stages' parents.

    Raises:
        FileNotFoundError: If a config, a data file or a parent that no earlier stage makes is
            missing.
        ValueError: If a config cannot be read or is not for training, stages share a work
            directory, a parent is made too late or is not what its stage ends with, or a stage has
            been trained longer than its config says.
    """
    stages: list[Stage] = []
    for config in configs:
        stage = read_stage(config, options, work_root)
        for other in stages:
            if _same(other.work_dir, stage.work_dir):
                raise ValueError(
                    f'{other.config} and {stage.config} have the same work directory, '
                    f'{stage.work_dir}; every stage needs its own'
                )
        stages.append(stage)
    for index, stage in enumerate(stages):
        _check_stage(stage, stages[:index], stages[index + 1 :])
    return stages


def read_stage(
    config: str,
    options: Mapping[str, Any] | None = None,
    work_root: str | Path | None = None,
) -> Stage:
    """Read the config of one stage; arguments and errors as for :func:`read_chain`."""
    work_dir = str(Path(work_root) / Path(config).stem) if work_root else None
    cfg = read_config(config, options, work_dir)
    if missing := [n for n in ('model', 'train_dataloader', 'train_cfg') if cfg.get(n) is None]:
        raise ValueError(f'{config} has no {" and no ".join(missing)}; use a training config')
    for loader in filter(None, (cfg.train_dataloader, cfg.get('val_dataloader'))):
        check_data_files(loader.dataset)
    parents = parents_of(cfg)
    moved = {}
    for name, path in parents.items() if work_root else ():
        parts = Path(path).parts
        if parts[0] == _WORK_DIRS:
            parents[name] = moved[name] = str(Path(work_root, *parts[1:]))
    unit = 'iteration' if 'max_iters' in cfg.train_cfg else 'epoch'
    length = cfg.train_cfg.get('max_iters' if unit == 'iteration' else 'max_epochs')
    if length is None:
        raise ValueError(f'{config} does not say how long to train; set train_cfg.max_epochs')
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if hook.get('by_epoch', True) != (unit == 'epoch'):
        raise ValueError(
            f'{config} trains by {unit} and saves otherwise, so the name of its final checkpoint '
            f'is not known; set by_epoch={unit == "epoch"} in default_hooks.checkpoint'
        )
    name = hook.get('filename_tmpl') or f'{"epoch" if unit == "epoch" else "iter"}_{{}}.pth'
    folder = Path(cfg.work_dir)
    return Stage(config, folder, length, unit, folder / name.format(length), parents, moved)


def _check_stage(stage: Stage, earlier: Sequence[Stage], later: Sequence[Stage]) -> None:
    if stage.done > stage.length:
        raise ValueError(
            f'{stage.name} has been trained for {stage.done} {stage.unit}s and its config says '
            f'{stage.length}, but there is no {stage.final}; use another work directory, or train '
            f'for at least {stage.done}'
        )
    needed = dict(stage.parents)
    if stage.finished:
        needed = {}
    elif stage.done:  # it goes on from its own checkpoint
        needed.pop('load_from', None)
    for name, path in needed.items():
        if any(_same(path, other.final) for other in earlier) or Path(path).expanduser().is_file():
            continue
        what = f'stage {stage.name}: {missing_file(name, path)}'
        if maker := next((s for s in (stage, *later) if _same(path, s.final)), None):
            raise ValueError(f'{what}; {maker.name} makes it and has to come before')
        if maker := next((s for s in earlier if _same(Path(path).parent, s.work_dir)), None):
            raise ValueError(f'{what}; {maker.name} ends with {maker.final}')
        before = ', or name that config before this one' if step_of(path) is not None else ''
        raise FileNotFoundError(f'{what}{before}')


def _same(one: str | Path, other: str | Path) -> bool:
    return os.path.abspath(os.path.expanduser(one)) == os.path.abspath(os.path.expanduser(other))


def table(stages: Sequence[Stage]) -> str:
    """The stages, a line each: name, state, time, last losses, and what it needs."""
    rows = [('stage', 'state', 'time', 'last losses', 'needs')]
    for stage in stages:
        needs = dict.fromkeys(
            next((s.name for s in stages if _same(path, s.final)), path)
            for path in stage.parents.values()
        )
        seconds = round(stage.seconds)
        time = f'{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}' if seconds else '-'
        losses = ' '.join(f'{name}={value:.4g}' for name, value in stage.losses.items())
        rows.append((stage.name, stage.state, time, losses or '-', ', '.join(needs) or '-'))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
    return '\n'.join([lines[0], '  '.join('-' * width for width in widths), *lines[1:]])


def command_of(
    stage: Stage, tools: Path, *, gpus: int = 1, amp: bool = False, options: Sequence[str] = ()
) -> list[str]:
    """The command line that starts a stage, or goes on with it.

    Args:
        stage: The stage.
        tools: Folder of ``train.py`` and ``dist_train.sh``.
        gpus: Number of processes.
        amp: Whether to use mixed precision.
        options: Settings as the command line has them, ``KEY=VALUE``.
    """
    start = [sys.executable, str(tools / 'train.py'), stage.config]
    if gpus > 1:
        start = ['bash', str(tools / 'dist_train.sh'), stage.config, str(gpus)]
    options = [*options, *(f'{name}={path}' for name, path in stage.moved.items())]
    return [
        *start,
        '--resume',
        *('--work-dir', str(stage.work_dir)),
        *(['--amp'] if amp else []),
        *(['--cfg-options', *options] if options else []),
    ]


def run_to_end(command: Sequence[str], log: Path | None = None) -> int:
    """Run a command and wait for it; it does not outlive an interruption of this process.

    Args:
        command: The command line.
        log: File to append its output to; by default it goes to the screen.

    Returns:
        The exit status; 128 + n if signal n ended it.
    """
    output = None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open('ab')
    environment = {**os.environ, 'PYTHON': sys.executable}
    process = subprocess.Popen(
        command, env=environment, stdout=output, stderr=output and subprocess.STDOUT
    )
    try:
        status = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    finally:
        if output is not None:
            output.close()
    return status if status >= 0 else 128 - status
