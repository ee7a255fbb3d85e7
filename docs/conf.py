"""How Sphinx builds this documentation: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mmtrack_mixformerv2  # noqa: E402, F401  (before anything imports mmtrack)
from mmtrack_mixformerv2.version import __version__  # noqa: E402

project = 'mmtrack_mixformerv2'
author = 'the maintainers of mmtrack_mixformerv2'
version = release = __version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'mmtrack_mixformerv2 {version}'
templates_path: list[str] = []

myst_heading_anchors = 4
# Pages link files of the repository, which are no pages.
suppress_warnings = ['myst.xref_missing']

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_preserve_defaults = True
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
