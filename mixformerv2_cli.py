"""The command ``mixformerv2``: a module of its own, so that the package knows who imports it.

The package registers everything with OpenMMLab when it is imported, which takes seconds, and fails
where something is not installed. ``mixformerv2 --help`` should not wait for that, and
``mixformerv2 doctor`` should say what is missing.
"""

from __future__ import annotations


def main() -> int:
    """Run the command line; gives the exit code."""
    from mmtrack_mixformerv2.cli import main as run

    return run()
