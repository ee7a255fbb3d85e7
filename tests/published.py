"""Checkpoints in the published layout, made of drawn weights, to feed the converter with."""

from __future__ import annotations

import json
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager
from math import isqrt
from pathlib import Path

import torch
from golden import fill_state_dict

from mmtrack_mixformerv2.position import sincos_position_table

# A class of the training package that the published files pickle, and nobody has installed.
SETTINGS = 'training_package'


def small_manifest(system: str = 'mixformerv2') -> dict:
    """The manifest of a small model in ``tests/data``."""
    path = Path(__file__).parent / 'data' / f'{system}_small.manifest.json'
    return json.loads(path.read_text())


def small_published(system: str = 'mixformerv2') -> OrderedDict:
    """All tensors of that model under their published names."""
    return published_state_dict(small_manifest(system))


def assert_same(got, expected) -> None:
    """Compare two state dicts: names in their order, types, values."""
    assert list(got) == list(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name


def published_state_dict(manifest: dict) -> OrderedDict:
    """All tensors of a manifest under their published names, the fixed tables included."""
    state = OrderedDict(fill_state_dict(manifest))
    for name, (_, tokens, dims) in manifest.get('fixed_shapes', {}).items():
        state[name] = sincos_position_table(isqrt(tokens), dims)
    return state


@contextmanager
def training_package():
    """While active, an instance of the foreign ``Settings`` class can be pickled."""
    module = types.ModuleType(SETTINGS)
    module.Settings = type('Settings', (), {'__module__': SETTINGS})
    sys.modules[SETTINGS] = module
    try:
        yield module.Settings()
    finally:
        del sys.modules[SETTINGS]


def save_published(path, net, *, legacy: bool = False, **more) -> None:
    """Write ``net`` as the published trainer does; ``legacy`` for the format before torch 1.6."""
    with training_package() as settings:
        settings.save_dir, settings.nested = 'somewhere', {'itself': settings}
        checkpoint = {
            'epoch': 500,
            'actor_type': 'MixFormerActor',
            'net_type': 'MixFormer',
            'net': net,
            'net_info': {'constructor': settings},
            'constructor': None,
            'optimizer': {'state': {0: {'exp_avg': torch.ones(7)}}, 'param_groups': []},
            'stats': OrderedDict(train=settings),
            'settings': settings,
            **more,
        }
        torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
