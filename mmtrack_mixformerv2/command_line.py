"""Types of options that several tools have."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """Type of an option: a whole number."""

    def parse(text: str) -> int:
        if not text.lstrip('-').isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f'{text!r} is not a whole number from {least} up')
        return int(text)

    return parse
