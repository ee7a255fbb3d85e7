"""Checkpoints that survive the end of the process at any moment.

MMEngine deletes the oldest checkpoint before it writes the next, and writes into the final file: a
training that is killed meanwhile, and keeps one checkpoint, is lost.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmtrack.registry import HOOKS

from ..files import PARTIAL, replace_file
from .finite_loss_hook import check_weights
from .resume import POINTER


@register_backend('whole_files')
class WholeFileBackend(LocalBackend):
    """MMEngine's backend for local files, with :func:`replace_file` for writing."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        replace_file(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        replace_file(filepath, obj.encode(encoding))


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` whose previous checkpoint is there until the next one is complete.

    Checkpoints and ``last_checkpoint`` are written whole or not at all, outdated checkpoints are
    deleted last, and weights that are NaN or infinite are not saved. For that moment the disk
    holds ``max_keep_ckpts + 1`` checkpoints.

    Args:
        **settings: As for ``CheckpointHook``. Where ``out_dir`` or ``backend_args`` lead to another
            storage than local files, what that guarantees counts.
    """

    def __init__(self, **settings) -> None:
        storage = settings.get('backend_args') or settings.get('file_client_args')
        if not storage and '://' not in str(settings.get('out_dir')):
            settings['backend_args'] = dict(backend='whole_files')
        super().__init__(**settings)

    def before_train(self, runner: Runner) -> None:
        """Prepare, and remove what a killed training left half written."""
        super().before_train(runner)
        if is_main_process():
            for folder in {Path(self.out_dir), Path(runner.work_dir)}:
                for partial in folder.glob(f'*{PARTIAL}'):
                    if partial.stem == POINTER or partial.stem.endswith('.pth'):
                        partial.unlink()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        check_weights(runner, meta['iter'])
        outdated: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
            # With those still to be deleted: a training that is resumed deletes them.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
            outdated = kept[: -self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            replace_file(Path(runner.work_dir) / POINTER, self.last_ckpt.encode())
            for old in outdated:
                self._remove(self.filename_tmpl.format(old))

    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's
            self.file_backend.rmtree(path)
