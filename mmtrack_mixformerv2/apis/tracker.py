"""A tracker from whatever names a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import tracking
from ..runtime.model_info import BACKENDS
from ..tracking import SequenceTracker, StatePolicy, TrackingSettings
from ..tracking.tracker import check_color
from ..zoo import fetch_weights, find_model, is_zoo_name

if TYPE_CHECKING:
    from .loading import Model


class Tracker(tracking.Tracker):
    """Tracks one target or several through a video.

    ::

        tracker = Tracker('mixformerv2-tiny')
        tracker.init(frame, (x, y, width, height))
        result = tracker.update(next_frame)  # box_xywh, score, state, confidence, edges

    It tells whether the target is tracked, uncertain or lost, replaces templates only while it is
    tracked, and searches more widely while it is lost; ``policy=None`` is the published tracker,
    which does not.

    Args:
        model: A name from the model zoo (``mixformerv2 download --list``), a test config with its
            ``checkpoint``, or a folder with an exported model, or one of the files in it.
        checkpoint: Weights for a config, a file or a name from the zoo. Of a name from the zoo, it
            takes the place of its weights.
        policy: A :class:`~mmtrack_mixformerv2.tracking.StatePolicy`, a dict of its values, or None;
            ``'auto'`` for that of the config, and without one for the default policy.
        color: Order of the channels of the frames: ``'rgb'``, or ``'bgr'`` for frames that OpenCV
            has decoded.
        backend: ``'torch'``, ``'onnxruntime'``, ``'openvino'`` or ``'tensorrt'``; None for torch,
            and for what runs the files of an exported model.
        dtype: What the network computes in; None for float32, and for what an exported model was
            exported in.
        compile: Compile the step of a frame; for torch.
        exported: Folder with the exported model of this very config and checkpoint.
        num_threads: Of the CPU, for the other backends; 0 for all.
        device: ``'cpu'`` or ``'cuda'``; None for the GPU if torch sees one, and for the CPU if the
            model is an exported one.

    Attributes:
        name: Of the model, for people.

    Raises:
        FileNotFoundError: If a file is not there.
        ImportError: If a package is missing.
        ValueError: If the name is not known, a file cannot be read or does not fit, or the
            settings do not fit each other.
    """

    def __init__(
        self,
        model: Model,
        checkpoint: str | os.PathLike | None = None,
        *,
        policy: StatePolicy | Mapping | Literal['auto'] | None = 'auto',
        color: str = 'rgb',
        backend: str | None = None,
        dtype: str | None = None,
        compile: bool = False,
        exported: str | os.PathLike | None = None,
        num_threads: int = 0,
        device: str | None = None,
    ) -> None:
        check_color(color)  # before a model is loaded, as what is wrong with the policy
        changes = {} if policy == 'auto' else {'policy': policy}
        TrackingSettings(**changes)
        runtime = dict(
            backend=backend, dtype=dtype, compile=compile, exported=exported,
            num_threads=num_threads, device=device,
        )  # fmt: skip
        folder = find_exported(model)
        if folder is not None:
            self.name, loop = _open_exported(folder, checkpoint, **runtime)
        else:
            self.name, loop = _open_model(model, checkpoint, **runtime)
        if not changes and loop.settings.policy is None:
            changes = {'policy': StatePolicy()}
        settings = replace(loop.settings, **changes)
        super().__init__(SequenceTracker(loop.predictor, settings), color=color)


def open_tracker(config: Model, checkpoint: str | os.PathLike, **runtime: Any) -> Tracker:
    """The published tracker: a :class:`Tracker` without states.

    Args:
        config: A test config, or its file.
        checkpoint: File with the weights.
        runtime: ``backend``, ``dtype``, ``compile``, ``exported``, ``num_threads``, as there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file cannot be read, does not fit, or the settings do not fit each other.
        BackendNotInstalled: If a package is missing.
    """
    return Tracker(config, checkpoint, policy=None, **runtime)


def find_exported(model: Model) -> Path | None:
    """The folder of an exported model, if that is what is named; the zoo may have some.

    Raises:
        FileNotFoundError: If a file is named that is not there.
        ValueError: If it is in the zoo, and cannot be fetched.
    """
    if not isinstance(model, (str, os.PathLike)) or not str(model):
        return None
    path = Path(model)
    if path.suffix in ('.onnx', '.xml'):
        if not path.is_file():
            raise FileNotFoundError(f'there is no file {path}, expected one of an exported model')
        return path.parent
    if path.is_dir():
        return path
    if is_zoo_name(model) and find_model(str(model)).config is None:
        return fetch_weights(str(model))
    return None


def _open_exported(
    folder: Path, checkpoint: object, *, backend: str | None, compile: bool, exported: object,
    device: str | None, **runtime: object,
) -> tuple[str, SequenceTracker]:  # fmt: skip
    from ..runtime import open_exported

    for name, value in (('checkpoint', checkpoint), ('exported', exported), ('compile', compile)):
        if value:
            raise ValueError(f'{folder} is an exported model, which has no {name}; leave it out')
    if backend == 'torch':
        raise ValueError(
            f'{folder} is an exported model, which torch does not run; choose one of '
            f'{", ".join(BACKENDS)}, or give the config and the checkpoint'
        )
    loop = open_exported(folder, backend=backend, device=device or 'cpu', **runtime).loop
    return loop.predictor.info.name, loop


def _open_model(
    model: Model, checkpoint: str | os.PathLike | None, *, dtype: str | None, device: str | None,
    **runtime: object,
) -> tuple[str, SequenceTracker]:  # fmt: skip
    from .. import register

    register()
    from ..deployment.backends import build_predictor
    from .loading import find_files, load_tracker

    found = find_files(model, checkpoint)
    network = load_tracker(found.config, found.checkpoint, device=device)
    predictor = build_predictor(network, dtype=dtype or 'float32', **runtime)
    return found.name, SequenceTracker(predictor, network.loop.settings)
