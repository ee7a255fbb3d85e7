"""Which training samples an epoch consists of.

mmtrack's samplers yield indices which its datasets ignore: they draw from the global random state,
so what an epoch holds depends on the number of workers, on whether the workers persist and on
whether the run was resumed. Here the sampler yields a :class:`SampleKey`, and a sample is a
function of its key alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import NamedTuple

from mmengine.dist import get_dist_info, sync_random_seed
from mmtrack.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """Names one training sample: everything drawn for it follows from these numbers."""

    seed: int
    epoch: int
    index: int


@DATA_SAMPLERS.register_module()
class SampleKeySampler(Sampler):
    """Yields the keys of one epoch; process r of n gets the indices ``r, r + n, r + 2n, ...``.

    Every process gets the same number of keys and no key is handed out twice: where
    ``samples_per_epoch`` is not a multiple of the number of processes, the epoch is that much
    longer.

    Args:
        dataset: Not used, since keys do not depend on it; mmengine always passes it.
        samples_per_epoch: Samples of all processes together.
        seed: mmengine passes the seed of the runner unless the config sets one here. ``None``
            draws one, the same for all processes. A resumed run continues the same sequence of
            samples if ``randomness=dict(seed=...)`` or this argument is in the config.

    Raises:
        ValueError: If ``samples_per_epoch`` is below 1 or ``seed`` is negative.
    """

    def __init__(
        self, dataset: Sized | None = None, *, samples_per_epoch: int, seed: int | None = None
    ) -> None:
        if samples_per_epoch < 1:
            raise ValueError(f'samples_per_epoch must be at least 1, got {samples_per_epoch}.')
        if seed is not None and seed < 0:
            raise ValueError(f'seed must not be negative, got {seed}.')
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.rank, self.world_size = get_dist_info()
        self.num_samples = -(-samples_per_epoch // self.world_size)
        self.epoch = 0

    def __iter__(self) -> Iterator[SampleKey]:
        """Keys of this process, in the order of their indices."""
        seed, epoch = self.seed, self.epoch
        for i in range(self.num_samples):
            yield SampleKey(seed, epoch, self.rank + i * self.world_size)

    def __len__(self) -> int:
        """Number of keys of this process."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch by ``DistSamplerSeedHook`` of mmengine, distributed or not."""
        self.epoch = epoch
