"""Runs before the test modules: mmtrack can be imported only after our package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Fixtures, seen by all tests.
from browser import chromium, visit  # noqa: F401

from mmtrack_mixformerv2.synthetic import RenderSettings, make_difficulty, write_dataset


@pytest.fixture(scope='session')
def rendered(tmp_path_factory) -> Path:
    """Four rendered training sequences of 20 frames of 128 x 96 pixels, in GOT-10k's layout."""
    out = tmp_path_factory.mktemp('rendered')
    settings = RenderSettings(
        seed=5,
        difficulty=make_difficulty('easy'),
        frames=dict(train=20, val=20),
        size=(128, 96),
    )
    write_dataset(out, settings, dict(train=4, val=0), progress=False)
    return out


@pytest.fixture(scope='session')
def exported_tracker(tmp_path_factory) -> Path:
    """``lively_tracker(depth=2)`` as ONNX files.

    The exporter takes long, so that processes that test side by side share one export.
    """
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(package)
    import fcntl

    from small_tracker import lively_tracker

    from mmtrack_mixformerv2.deployment.onnx_export import export_onnx

    base = tmp_path_factory.getbasetemp()
    base = base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base
    folder = base / 'exported_tracker'
    with (base / 'exported_tracker.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / 'search.onnx').exists():  # written last
            export_onnx(lively_tracker(depth=2), folder)
    return folder
