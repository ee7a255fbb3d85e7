"""Runs before the test modules: mmtrack can be imported only after our package."""

import mmtrack_mixformerv2  # noqa: F401
