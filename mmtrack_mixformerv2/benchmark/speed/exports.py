"""Exported models for the time of a measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from ...deployment.calibration import CalibrationCrops, draw_crops
from ...deployment.export import Target, export
from ...deployment.onnx_export import build_onnx
from ...deployment.quantization import quantize
from .clip import Clip
from .contenders import PACKAGES, Contender

_CALIBRATION_CROPS = 64


def export_models(
    model: nn.Module,
    contenders: Sequence[Contender],
    folder: Path,
    given: Mapping[tuple[str, str], Path],
    clip: Clip,
) -> dict[Contender, Path | None]:
    """Export what is not there yet.

    Args:
        model: The tracker.
        contenders: What is going to run.
        folder: For the exported models.
        given: Those that are there, by backend and dtype.
        clip: To calibrate int8 models on.

    Returns:
        The folder that each contender runs; None for those that run the model itself.

    Raises:
        FileNotFoundError: If the clip has no annotation to calibrate with.
        ValueError: If the model cannot be exported.
    """
    kinds = [(c.backend, c.dtype) for c in contenders if PACKAGES[c.backend]]
    missing = [kind for kind in dict.fromkeys(kinds) if kind not in given]
    folders = {**given, **{kind: folder / '-'.join(kind) for kind in missing}}
    if missing:
        dtypes = [dtype for _, dtype in missing]
        crops = _draw(model, clip) if 'int8' in dtypes else ()
        graphs = dict.fromkeys(dtypes, build_onnx(model))
        if crops:
            graphs['int8'] = quantize(model, graphs['int8'], crops)
        for kind in missing:
            export(model, Target(*kind, folders[kind]), name='model', graphs=graphs[kind[1]])
    return {c: folders.get((c.backend, c.dtype)) for c in contenders}


def _draw(model: nn.Module, clip: Clip) -> list[CalibrationCrops]:
    return draw_crops(
        [clip.source],
        search_size=model.backbone.search_size,
        template_size=model.backbone.template_size,
        settings=model.loop.settings,
        count=_CALIBRATION_CROPS,
    )
