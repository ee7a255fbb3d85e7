"""What a published system of weights is made of: layouts, rules and sizes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor

StateDict = Mapping[str, Tensor]

_MOST_BLOCKS = 1000


class TrackerSizes(ABC):
    """What names and shapes of weights say about a model; a frozen dataclass of each system."""

    @property
    @abstractmethod
    def title(self) -> str:
        """System and variant in a few words, e.g. ``'FERMT with the centre head'``."""

    @property
    def family(self) -> str:
        """Folder of the configs of the system, which is the first word of the title."""
        return self.title.split()[0].lower().replace('-', '_')

    @property
    @abstractmethod
    def details(self) -> str:
        """Sizes in a line, e.g. ``'12 layers of width 192, search 256, template 128 pixels'``."""

    @property
    def is_tracker(self) -> bool:
        """Whether it is a whole tracker, and no backbone to start a training from."""
        return True

    @property
    @abstractmethod
    def config(self) -> str | None:
        """Configs that fit, as a pattern of file names, or None if there is none."""

    @property
    @abstractmethod
    def base_config(self) -> str:
        """A config that :meth:`settings` make fit, as a pattern; for a backbone, a training."""

    @abstractmethod
    def settings(self, num_heads: int | None = None) -> dict[str, object]:
        """Settings that make :attr:`base_config` fit, as ``--cfg-options``.

        Args:
            num_heads: Attention heads of the backbone, which no shape tells; None for those of the
                published models.
        """


@dataclass(frozen=True)
class Rule:
    """What becomes of one published tensor.

    Attributes:
        target: Our name for it.
        shape: The shape it must have.
        change: Rearranges it.
        note: Says what is unusual about its value, if anything, given its published name too.
        counter: Whether it is the integer that a batch norm counts its batches with. It has no
            effect on the outputs, and files with frozen batch norms lack it.
        also: Rules of what else is made of it.
    """

    target: str
    shape: tuple[int, ...]
    change: Callable[[Tensor], Tensor] | None = None
    note: Callable[[str, Tensor], str | None] | None = None
    counter: bool = False
    also: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One way in which the weights of a system are published.

    Attributes:
        marks: Name prefixes of which any one tells this layout, once those before it in the table
            are excluded.
        measure: Weights, without those that are left out, to sizes.
        rules: Sizes to the rule of every published name.
        dropped: Tensors that are known and not needed: patterns of names (``fnmatch``), each with
            what the user should know when such a tensor is dropped, if anything.
        score: The same of a score head that is only converted when it is asked for.
        note: What the user should know of all such files.
    """

    marks: tuple[str, ...]
    measure: Callable[[StateDict], TrackerSizes]
    rules: Callable[[Any], dict[str, Rule]]
    dropped: Mapping[str, str] = field(default_factory=dict)
    score: Mapping[str, str] = field(default_factory=dict)
    note: str = ''

    def is_score(self, name: str) -> bool:
        """Whether a published name is of the score head that has to be asked for."""
        return any(fnmatchcase(name, pattern) for pattern in self.score)


@dataclass(frozen=True)
class System:
    """One kind of model with published weights.

    Attributes:
        name: What people call it.
        layouts: How its weights are published.
        marks: Prefixes of our names of which any one tells this system, once those before it in
            the table are excluded.
        measure: Weights under our names to the same sizes.
    """

    name: str
    layouts: tuple[Layout, ...]
    marks: tuple[str, ...]
    measure: Callable[[StateDict], TrackerSizes]


@dataclass(frozen=True)
class Stranger:
    """A tracker that has no config here, and is told apart so that it can be named.

    Attributes:
        name: What people call it.
        marks: As those of a :class:`Layout`.
    """

    name: str
    marks: tuple[str, ...]


def shape_of(state: StateDict, name: str, ndim: int) -> tuple[int, ...]:
    """Shape of a tensor that the sizes are read from.

    Raises:
        ValueError: If it is missing, or has another number of dimensions or none of a size.
    """
    if name not in state:
        raise ValueError(f'the weights lack {name!r}, which their sizes are read from.')
    shape = tuple(state[name].shape)
    if len(shape) != ndim or 0 in shape:
        raise ValueError(f'{name!r} has shape {shape}, expected {ndim} positive numbers.')
    return shape


def count_of(state: StateDict, prefix: str) -> int:
    """How many entries a list of modules has: one more than the largest number after the prefix.

    Raises:
        ValueError: If there are none, or more than any such model has.
    """
    pattern = re.compile(re.escape(prefix) + r'(\d+)\.')
    count = 1 + max((int(match[1]) for match in map(pattern.match, state) if match), default=0)
    if count > _MOST_BLOCKS:
        raise ValueError(f'the weights have a {prefix}{count - 1}, more than any such model.')
    return count


def affine(source: str, target: str, shape: tuple[int, ...]) -> dict[str, Rule]:
    """Weight of the given shape and bias of a linear layer, a convolution or a layer norm."""
    return {
        f'{source}.weight': Rule(f'{target}.weight', shape),
        f'{source}.bias': Rule(f'{target}.bias', shape[:1]),
    }


def batch_norm(source: str, target: str, channels: int) -> dict[str, Rule]:
    """A batch norm; its counter may be missing."""
    names = ('weight', 'bias', 'running_mean', 'running_var')
    rules = {f'{source}.{name}': Rule(f'{target}.{name}', (channels,)) for name in names}
    counter = 'num_batches_tracked'
    rules[f'{source}.{counter}'] = Rule(f'{target}.{counter}', (), counter=True)
    return rules


def conv_unit(source: str, target: str, in_channels: int, channels: int) -> dict[str, Rule]:
    """A 3x3 convolution with bias, ``.0``, and its batch norm, ``.1``, in both namings."""
    shape = (channels, in_channels, 3, 3)
    return {
        **affine(f'{source}.0', f'{target}.0', shape),
        **batch_norm(f'{source}.1', f'{target}.1', channels),
    }
