"""Keeps a metric from deleting a folder that it did not make."""

from __future__ import annotations

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmtrack.registry import HOOKS


@HOOKS.register_module()
class ResultFolderHook(Hook):
    """Refuses to run when the folder for formatted results exists and is not empty.

    ``SOTMetric`` writes the files for an evaluation server into ``outfile_prefix``, packs them into
    a zip file beside it, and deletes the folder with everything in it. What was there before would
    enter the zip file and then be lost.
    """

    def before_run(self, runner: Runner) -> None:
        """Check the metrics of the loops that are about to run.

        Raises:
            ValueError: If a folder is in the way.
        """
        for loop in (runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop):  # a config until it is needed
                for metric in loop.evaluator.metrics:
                    _check_free(getattr(metric, 'outfile_prefix', None))


def _check_free(folder: str | None) -> None:
    if folder and Path(folder).is_dir() and any(Path(folder).iterdir()):
        raise ValueError(
            f'outfile_prefix={folder!r} is a folder with files in it. The metric would pack them '
            f'together with its results into {folder}.zip and then delete the folder; name one '
            'that does not exist yet'
        )
