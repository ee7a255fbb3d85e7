"""A test config becomes a tracker and the sequences that it is to follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmengine.config import Config

from ..apis import load_tracker
from ..comparison import build_test_set
from ..evaluation import SequenceTable
from ..tracking import ConfidenceModel, SequenceTracker, StatePolicy


def open_test(
    config: Config, checkpoint: str, data_root: str | None = None
) -> tuple[SequenceTracker, SequenceTable]:
    """The tracker of a test config, in torch, and the sequences of its data set.

    Args:
        config: With ``model``, ``test_dataloader`` and ``test_evaluator``.
        checkpoint: File with the weights, or a name from the model zoo.
        data_root: Folder in the place of that in the config.

    Raises:
        FileNotFoundError: If the weights or the data are not there.
        ValueError: If the weights do not fit, or the data set keeps its annotation to itself.
    """
    dataset, _ = build_test_set(config, data_root)
    table = SequenceTable(dataset)
    if not len(table) or not table[0].annotated:
        raise ValueError(
            f'{type(dataset).__name__} lists {len(table)} sequences and has no box of every frame; '
            'take a data set with the truth of all frames, such as the rendered ones.'
        )
    return load_tracker(config, checkpoint).loop, table


def with_policy(
    tracker: SequenceTracker,
    policy: StatePolicy | Mapping[str, Any] | None,
    confidence: ConfidenceModel | None = None,
) -> SequenceTracker:
    """The same tracker with another policy; ``confidence`` replaces that of its settings."""
    changes = {'policy': policy} | ({} if confidence is None else {'confidence': confidence})
    return SequenceTracker(tracker.predictor, replace(tracker.settings, **changes))
