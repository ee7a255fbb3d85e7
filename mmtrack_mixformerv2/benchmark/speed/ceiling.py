"""The machine's ceiling: how many multiply-adds per second its large dense matrix products reach.

The multiply-adds of a network, which do not depend on the machine, over the time that it takes and
this ceiling are the share of the machine that it uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..timing import Stopwatch, Timing

_SIDES = {'cpu': (512, 768, 1024, 1536, 2048), 'cuda': (4096, 8192)}
_SIDE_OF_A_TRIAL = 256  # of products that tell whether a type is worth larger ones
_FASTER = 1.3  # than float32, by which a type proves that it has instructions of its own
_SECONDS = 0.02  # at least so long are the products of a size


class MatrixProducts:
    """Products of square matrices by torch, of several sizes.

    A call does some of each size and gives the :class:`~..timing.Timing` of the fastest, in which a
    sample is a multiply-add; so products can take turns with what is to be compared to them.

    Args:
        dtype: ``'float32'``, ``'bfloat16'``, ``'float16'`` or ``'int8'`` (with sums in int32).
        device: Where to multiply.
        sides: Rows and columns.

    Raises:
        RuntimeError: If torch has no such product there.
    """

    def __init__(self, dtype: str, device: torch.device | str, sides: Sequence[int]) -> None:
        self.dtype, self.device = dtype, torch.device(device)
        self._multiply = torch._int_mm if dtype == 'int8' else torch.mm
        self._factors = [self._draw(side) for side in sides]
        self._repeats = [1] * len(sides)
        self._run_all()  # chooses kernels
        self._repeats = [
            max(1, round(_SECONDS * timing.samples / timing.wall / side**3))
            for side, timing in zip(sides, self._run_all())
        ]

    def __call__(self) -> Timing:
        """Multiply for a moment."""
        return max(self._run_all(), key=lambda timing: timing.samples / timing.wall)

    def _draw(self, side: int) -> Tensor:
        """Both factors, ``(2, side, side)``."""
        shape = (2, side, side)
        if self.dtype == 'int8':
            return torch.randint(-127, 128, shape, dtype=torch.int8, device=self.device)
        return torch.randn(shape, device=self.device).to(getattr(torch, self.dtype))

    @torch.inference_mode()
    def _run_all(self) -> list[Timing]:
        timings = []
        for factors, repeats in zip(self._factors, self._repeats):
            watch = Stopwatch(self.device)
            for _ in range(repeats):
                self._multiply(*factors)
            timings.append(watch.stop(repeats * len(factors[0]) ** 3))
        return timings


def find_ceiling(dtype: str, device: torch.device | str = 'cpu') -> MatrixProducts | None:
    """Large products of a type; None if torch does them no faster than those of float32.

    torch multiplies narrow types on every machine, but where it only emulates them, their products
    are no ceiling.
    """
    device = torch.device(device)
    if dtype != 'float32':
        try:
            trials = [MatrixProducts(d, device, [_SIDE_OF_A_TRIAL]) for d in (dtype, 'float32')]
        except RuntimeError:  # torch does not have them on this device at all
            return None
        narrow, wide = (min(_seconds(trial) for _ in range(5)) for trial in trials)
        if wide < _FASTER * narrow:
            return None
    return MatrixProducts(dtype, device, _SIDES[device.type])


def _seconds(products: MatrixProducts) -> float:
    """Of a multiply-add."""
    timing = products()
    return timing.wall / timing.samples
