"""Keeps a metric from deleting a folder, or replacing a file, that it did not make."""

from __future__ import annotations

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmtrack.registry import HOOKS


class EvaluationError(ValueError):
    """An evaluation that could not begin, or whose numbers are not those of all sequences."""


@HOOKS.register_module()
class ResultFolderHook(Hook):
    """Refuses to run when what a metric would write is in the way of something else.

    ``BenchmarkMetric``, and any other with a method ``check_outfiles``, looks for itself.
    ``SOTMetric`` writes the files for an evaluation server into ``outfile_prefix``, packs them into
    a zip file beside it, and deletes the folder with everything in it. What was there before would
    enter the zip file and then be lost; an older zip file would be overwritten. An empty folder
    is taken.
    """

    def before_run(self, runner: Runner) -> None:
        """Check the metrics of the loops that are about to run.

        Raises:
            EvaluationError: If a folder or a file is in the way.
        """
        for loop in (runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop):  # a config until it is needed
                for metric in loop.evaluator.metrics:
                    try:
                        if hasattr(metric, 'check_outfiles'):
                            metric.check_outfiles()
                        else:
                            _check_free(getattr(metric, 'outfile_prefix', None))
                    except ValueError as error:
                        raise EvaluationError(str(error)) from error


def _check_free(folder: str | None) -> None:
    if folder and Path(folder).is_dir() and any(Path(folder).iterdir()):
        raise ValueError(
            f'outfile_prefix={folder!r} is a folder with files in it. The metric would pack them '
            f'together with its results into {folder}.zip and then delete the folder; name one '
            'that does not exist yet'
        )
    if folder and Path(f'{folder}.zip').exists():
        raise ValueError(
            f'{folder}.zip exists, and the metric would replace it by the results of this run; '
            'move it away, or name another outfile_prefix or work directory'
        )
