"""Runs before the test modules: mmtrack can be imported only after our package."""

from __future__ import annotations

from pathlib import Path

import pytest

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
