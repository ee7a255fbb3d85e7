"""``python -m mmtrack_mixformerv2``: the command ``mixformerv2`` where it is not on the path."""

import sys

from .cli import main

sys.exit(main())
