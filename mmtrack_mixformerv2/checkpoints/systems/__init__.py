"""Published weights, name by name: which systems there are and how their names become ours.

A system is a module with a :class:`System`, and an entry in :data:`SYSTEMS`. Every layout in which
its weights are published has a ``measure`` function (weights to sizes, a frozen dataclass of the
system) and a ``rules`` function (sizes to one :class:`Rule` per published name). ``convert.py``
does the rest, and fails on every name that no rule mentions.
"""

from .fermt import FERMT
from .layout import Layout, Rule, StateDict, Stranger, System, TrackerSizes
from .mixformer_cvt import MIXFORMER_CVT
from .mixformerv2 import MIXFORMERV2
from .mixvit import MIXVIT
from .mvt import MVT
from .vit import MAE_VIT, RELEASED, Sizes

# Earlier ones are looked for first: the names of FERMT contain those of MixViT, and so on.
SYSTEMS = (MIXFORMERV2, MIXFORMER_CVT, MVT, FERMT, MIXVIT, MAE_VIT)

# Published weights that would pass for others. FERMT was made from OSTrack, and has all its names.
STRANGERS = (
    Stranger('OSTrack, or a FERMT without its Dual Attention Unit', ('backbone.pos_embed_z',)),
    Stranger('STARK', ('head.transformer.', 'transformer.decoder.')),
)

__all__ = [
    'RELEASED',
    'STRANGERS',
    'SYSTEMS',
    'Layout',
    'Rule',
    'Sizes',
    'StateDict',
    'Stranger',
    'System',
    'TrackerSizes',
]
