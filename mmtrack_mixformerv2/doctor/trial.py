"""The trial of a checkpoint: it is loaded, and has to answer, see :mod:`.known_answer`.

    python -m mmtrack_mixformerv2.doctor.trial CONFIG CHECKPOINT

prints the entry of :data:`.known_answer.KNOWN` for weights, which has to be renewed when weights
that come with the package change their backbone or box head.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .checkpoint import Weights, fitting_configs, identify
from .findings import Finding, Status
from .known_answer import (
    KNOWN,
    TOLERANCE,
    Answer,
    Scene,
    ask,
    ask_afresh,
    difference,
    factors_of,
    faults,
    hash_boxes,
    make_scene,
    overlap,
)

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn

    from ..tracking.predictor import BatchPredictor

BOUNDS = {'float32': TOLERANCE}  # pixels of the crop between backends; others: 1
TRAINED = 0.3  # IoU with a drawn target below which weights are suspicious
_PROVES = 'It proves that file, config and this machine fit each other'
_NOT = 'not how well videos are tracked: for that, run tools/test.py'


def try_weights(weights: Weights, config: str | Path | None = None) -> Iterator[Finding]:
    """Find the config of a checkpoint and test it; needs OpenMMLab.

    Args:
        weights: The checkpoint.
        config: File of its config; None looks for one.
    """
    if not weights.is_tracker:
        text = 'it is a backbone to start a training from, not a tracker: there is nothing to run'
        yield _say('known-answer', Status.NOTE, text)
        return
    path = config
    if config is None:
        path = next(fitting_configs(weights.sizes), None)
        if path is None:
            yield _no_config(weights)
            return
        yield _say('config', Status.OK, f'{_short(path)} fits', config=str(path))
    try:
        model = _load(path, weights)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield _say(
            'config',
            Status.PROBLEM,
            f'{path} does not load with {weights.path}: {error}',
            'leave --config out to look for one that fits',
            config=str(path),
        )
        return
    if config is not None:
        yield _say('config', Status.OK, f'{_short(config)} fits', config=str(config))
    yield from _try_model(model, weights)


def try_exported(folder: Path) -> Iterator[Finding]:
    """Test an exported model by every runtime that is installed and reads its files."""
    from ..runtime import BackendNotInstalled, open_predictor
    from ..runtime.exported import find_kinds

    kinds = find_kinds(folder)
    backends = [('onnxruntime', ['.onnx']), ('openvino', ['.onnx', '.xml'])]
    answers: dict[str, Answer] = {}
    predictor = scene = None
    for backend, reads in backends:
        if not set(reads) & set(kinds):
            continue
        try:
            predictor = open_predictor(folder, backend=backend)
        except BackendNotInstalled as error:
            yield _say(f'run.{backend}', Status.NOTE, str(error).partition(';')[0])
            continue
        except ValueError as error:
            # A model of one runtime may not be meant for the other, e.g. an int8 one.
            status = Status.NOTE if answers else Status.PROBLEM
            yield _say(f'run.{backend}', status, str(error))
            continue
        info = predictor.info
        if scene is None:
            yield _describe_exported(info)
            sizes = predictor.search_size, predictor.template_size
            scene = make_scene(*sizes, factors_of(info.settings))
        answers[backend] = ask(predictor, scene)
        yield from _try_any(predictor, scene, answers[backend], backend)
    if len(answers) > 1:
        yield _compare(answers, BOUNDS.get(predictor.info.dtype, 1.0))
    elif not answers:
        text = 'no runtime here reads this model, so it was not tested'
        remedy = 'python -m pip install ' + ('onnxruntime' if '.onnx' in kinds else 'openvino')
        yield _say('known-answer', Status.PROBLEM, text, remedy)


def known_entry(config: str, checkpoint: str) -> str:
    """Source of the entry in ``KNOWN`` for weights, from what they answer here."""
    import mmtrack_mixformerv2

    mmtrack_mixformerv2.register()
    weights = identify(checkpoint).weights
    if weights is None:
        raise ValueError(f'{checkpoint} is no checkpoint of a tracker')
    model = _load(config, weights)
    factors = factors_of(model.loop.settings)
    predictor = model.loop.predictor
    scene = make_scene(predictor.search_size, predictor.template_size, factors)
    boxes = ask(predictor, scene).boxes.round(3).tolist()
    lines = [
        f"    '{hash_boxes(model.state_dict())}': Known(",
        f"        '{Path(checkpoint).stem}',",
        f'        Factors({factors.search}, {factors.template}),',
        '        (',
        *(f'            {tuple(box)},' for box in boxes),
        '        ),',
        '    ),',
    ]
    return '\n'.join(lines)


def _load(config: str | Path | Config, weights: Weights) -> nn.Module:
    """The tracker on the CPU, in evaluation mode."""
    import torch
    from mmengine.config import Config
    from mmtrack.registry import MODELS

    from ..engine.strict_load_hook import load_whole
    from ..models.distillation import tracker_settings

    model = MODELS.build(tracker_settings(Config.fromfile(config)))
    state = {
        name: value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        for name, value in weights.state_dict.items()
    }
    load_whole(model, state, source=str(weights.path))
    return model.eval()


def _try_model(model: nn.Module, weights: Weights) -> Iterator[Finding]:
    import copy

    import torch

    from ..models.inference import InferenceNetwork
    from ..models.torch_predictor import TorchPredictor

    known = KNOWN.get(hash_boxes(model.state_dict()))
    factors = known.factors if known else factors_of(model.loop.settings)
    predictor = TorchPredictor(InferenceNetwork.of(model))
    scene = make_scene(predictor.search_size, predictor.template_size, factors)
    answer = ask(predictor, scene)
    findings = list(_try_any(predictor, scene, answer, 'torch'))
    yield from findings
    if any(one.status is Status.PROBLEM for one in findings):
        return
    frozen = ask(TorchPredictor(InferenceNetwork.of(model).frozen()), scene)
    yield _compare({'torch': answer, 'torch, frozen': frozen}, TOLERANCE)
    if torch.cuda.is_available():
        there = InferenceNetwork.of(copy.deepcopy(model).to('cuda'))
        answers = {'torch': answer, 'torch on the GPU': ask(TorchPredictor(there), scene)}
        # GPUs may compute convolutions in TF32, with 10 bits of mantissa.
        yield _compare(answers, 1.0, check='agreement.gpu')
    if known is None:
        text = (
            'no answer is known for these weights, so only what every tracker must do was '
            f'checked. {_PROVES}, {_NOT}'
        )
        yield _say('known-answer', Status.NOTE, text, known=None)
        return
    far = float(np.abs(answer.boxes - np.array(known.boxes)).max())
    facts = {'known': known.name, 'largest_difference': far, 'tolerance': TOLERANCE}
    if far <= TOLERANCE:
        text = (
            f'the boxes are those known of {known.name} (off by {far:.2g} of {TOLERANCE} pixels). '
            f'{_PROVES}, {_NOT}'
        )
        yield _say('known-answer', Status.OK, text, **facts)
    else:
        text = f'the boxes are off by {far:.3g} pixels from those known of {known.name}'
        remedy = (
            'compare config (num_heads, sizes) and versions of torch with those of the package; '
            'run mixformerv2 doctor with the config left out'
        )
        yield _say('known-answer', Status.PROBLEM, text, remedy, **facts)


def _try_any(
    predictor: BatchPredictor, scene: Scene, answer: Answer, backend: str
) -> Iterator[Finding]:
    """What every tracker must do, by one backend."""
    side = predictor.search_size
    check, found = f'run.{backend}', faults(answer, side)
    finite = bool(np.isfinite(answer.boxes).all())
    again = difference(answer, ask(predictor, scene)) if finite else np.nan
    afresh = difference(answer, ask_afresh(predictor, scene)) if finite else np.nan
    shared = overlap(answer, scene) if finite else 0.0
    facts = {
        check: {
            'finite': finite,
            'repeated_difference': None if np.isnan(again) else again,
            'uncached_difference': None if np.isnan(afresh) else afresh,
            'overlap_with_drawn_target': shared,
            'boxes': answer.boxes.round(4).tolist() if finite else None,
            'scores': None if answer.scores is None else answer.scores.round(4).tolist(),
        }
    }
    if not finite:
        yield _say(check, Status.PROBLEM, f'{backend}: the boxes are not numbers', **facts)
        return
    if max(again, afresh) > TOLERANCE:
        text = (
            f'{backend}: the answer changes by {again:.3g} pixels when it is repeated, by '
            f'{afresh:.3g} without cached templates; expected at most {TOLERANCE}'
        )
        yield _say(check, Status.PROBLEM, text, 'please report it, with this output', **facts)
        return
    if found:
        remedy = 'these weights may be untrained, or of another config: give it with --config'
        yield _say(check, Status.WARNING, f'{backend}: {"; ".join(found)}', remedy, **facts)
        return
    text = (
        f'{backend}: boxes and scores are in range, the same when repeated and without cached '
        f'templates (within {max(again, afresh):.1g} pixels)'
    )
    yield _say(check, Status.OK, text, **facts)
    text = f'{backend}: the boxes cover a drawn target with an IoU of {shared:.2f}'
    if shared < TRAINED:
        remedy = 'if a video is not tracked either, check the config, num_heads above all'
        text += ', so these weights may be untrained, or the config may be another one'
        yield _say(f'target.{backend}', Status.WARNING, text, remedy)
    else:
        yield _say(f'target.{backend}', Status.OK, text)


def _compare(answers: dict[str, Answer], bound: float, check: str = 'agreement') -> Finding:
    (first, reference), *others = answers.items()
    far = {name: difference(reference, answer) for name, answer in others}
    told = ', '.join(f'{name} {value:.2g}' for name, value in far.items())
    text = f'pixels of the crop between {first} and: {told}'
    agree = all(value <= bound for value in far.values())  # what is not a number is not
    far = {name: value if np.isfinite(value) else None for name, value in far.items()}
    status = Status.OK if agree else Status.PROBLEM
    remedy = '' if agree else 'use the first one, and please report it, with this output'
    text = f'backends {"agree" if agree else f"differ by more than {bound:g}"}: {text}'
    return _say(check, status, text, remedy, **{check: far})


def _describe_exported(info: Any) -> Finding:
    text = (
        f'{info.name}, {info.dtype} for {info.backend}, search {info.search_size}, template '
        f'{info.template_size} pixels, of the weights {info.model_hash[:12]}, exported by version '
        f'{info.package_version}'
    )
    facts = {key: value for key, value in asdict(info).items() if key not in ('graph', 'settings')}
    return _say('system', Status.OK, text, kind='exported', **facts)


def _no_config(weights: Weights) -> Finding:
    from ..checkpoints import model_settings

    options = ' '.join(f'{name}={value}' for name, value in model_settings(weights.sizes).items())
    return _say(
        'config',
        Status.WARNING,
        'no config of this package has these sizes, so the checkpoint was not run. The number of '
        'attention heads does not show in weights',
        f'give the config that it was trained with, --config CONFIG, or change one:\n{options}',
        config=None,
    )


def _short(path: str | Path) -> str:
    parts = Path(path).parts
    return '/'.join(parts[parts.index('configs') :]) if 'configs' in parts else str(path)


def _say(check: str, status: Status, text: str, remedy: str = '', **facts: Any) -> Finding:
    return Finding('checkpoint', check, status, text, remedy, facts)


if __name__ == '__main__':
    print(known_entry(*sys.argv[1:3]))
