"""Attention and similarity drawn over what the network sees (Figs. 5 and 6 of MixFormerV2).

Figures are matplotlib's, made without pyplot: nothing keeps them, and no window system is chosen.
What lies beneath a heat map is grey, so all colour is attention. Crops are RGB.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..files import replace_file
from .frame_explanation import EDGES, FrameExplanation

# The colour of each edge in all pictures, red, green, blue.
EDGE_COLORS = dict(zip(EDGES, ('#2f9bff', '#ff9f1c', '#e83e8c', '#2fbf5b')))
_SMALL = dict(fontsize='small', pad=3)
_PERCENT = '\nabove each panel: the part of its attention that a token gives to it'


def attention_figure(explanation: FrameExplanation, layer: int = -1) -> Figure:
    """Where each prediction token looks in one layer: search region and every template.

    Args:
        explanation: Of the frame.
        layer: Number of the block, 0-based; negative ones count from the last.

    Returns:
        A row for each token, with one scale from 0 to its largest weight. The number above a panel
        is the part of the token's attention that goes there; what is missing to 100 % goes to the
        prediction tokens. The predicted box is drawn; the edge that the token stands for in colour.

    Raises:
        ValueError: If there is no such layer.
    """
    at = explanation.layer_index(layer)
    names = ['search region', *_template_names(explanation)]
    first, last = explanation.layers[0], explanation.layers[-1]
    title = (
        f'Attention of the {_askers(explanation)} in layer {explanation.layers[at]} '
        f'(of {first} to {last}){_PERCENT}'
    )
    figure, panels = _make_panels(len(explanation.queries), len(names), title)
    for row, query in enumerate(explanation.queries):
        heats = [
            explanation.search_attention[at, row],
            *explanation.template_attention[at, row],
        ]
        highest = max(heat.max() for heat in heats)
        for panel, crop, heat in zip(
            panels[row], [explanation.crop, *explanation.templates], heats
        ):
            _show(panel, overlay_heat(crop, _scaled(heat, highest)))
            panel.set_title(f'{heat.sum():.0%}', **_SMALL)
        _draw_box(panels[row, 0], explanation, query)
        _name_row(panels[row, 0], query)
    for panel, name in zip(panels[0], names):
        panel.set_title(f'{name}\n{panel.get_title()}', **_SMALL)
    _add_scale(figure, panels, 'inferno', (0, 1), 'attention / largest of the row')
    return figure


def layers_figure(
    explanation: FrameExplanation,
    *,
    template: int | None = None,
    layers: Sequence[int] | None = None,
) -> Figure:
    """Where each prediction token looks from layer to layer.

    Args:
        explanation: Of the frame.
        template: Number of a template, 0 for the static one; None for the search region.
        layers: Numbers of the blocks, 0-based; by default all.

    Returns:
        A row for each token and a column for each layer. Every panel has its own scale, since
        attention is much sharper in some layers; the number above is as in
        :func:`attention_figure`.

    Raises:
        ValueError: If there is no such layer or template.
    """
    places = range(len(explanation.layers))
    if layers is not None:
        places = [explanation.layer_index(layer) for layer in layers]
    heats, crop, name = _attention_to(explanation, template)
    title = f'Attention of the {_askers(explanation)} to the {name}, layer by layer{_PERCENT}'
    figure, panels = _make_panels(len(explanation.queries), len(places), title, side=1.5)
    for row, query in enumerate(explanation.queries):
        for column, at in enumerate(places):
            panel, heat = panels[row, column], heats[at, row]
            _show(panel, overlay_heat(crop, _scaled(heat, heat.max())))
            above = f'layer {explanation.layers[at]}\n' if row == 0 else ''
            panel.set_title(f'{above}{heat.sum():.0%}', **_SMALL)
            if template is None:
                _draw_box(panel, explanation, query)
        _name_row(panels[row, 0], query)
    _add_scale(figure, panels, 'inferno', (0, 1), 'attention / largest of the panel')
    return figure


def similarity_figure(explanation: FrameExplanation) -> Figure:
    """What in the search region looks like the target to the network, beside the templates.

    Returns:
        The search region, the same with the cosine of ``similarity`` on it (orange: alike, violet:
        unlike), and the templates. The predicted box is white.
    """
    names = ['search region', 'similarity', *_template_names(explanation)]
    figure, panels = _make_panels(1, len(names), 'Similarity to the target', side=2.4)
    for panel, name in zip(panels[0], names):
        panel.set_title(name, **_SMALL)
    _show(panels[0, 0], explanation.crop)
    reach = max(float(np.abs(explanation.similarity).max()), 1e-6)
    shown = overlay_heat(explanation.crop, explanation.similarity / reach, 'PuOr_r')
    _show(panels[0, 1], shown)
    for panel in panels[0, :2]:
        _draw_box(panel, explanation)
    for panel, crop in zip(panels[0, 2:], explanation.templates):
        _show(panel, crop)
    _add_scale(figure, panels, 'PuOr_r', (-reach, reach), 'cosine')
    return figure


def overlay_heat(crop: np.ndarray, heat: np.ndarray, colors: str = 'inferno') -> np.ndarray:
    """A heat map over a grey copy of a crop.

    Args:
        crop: RGB uint8 ``(h, w, 3)``.
        heat: One number per patch, from 0 to 1, or from -1 to 1 for colours that part in the
            middle; ``(rows, columns)``. Enlarged bilinearly.
        colors: Name of one of matplotlib's colour maps, ``'inferno'`` or ``'PuOr_r'``.

    Returns:
        RGB uint8 ``(h, w, 3)``. The larger a number, the less of the crop is seen.
    """
    height, width = crop.shape[:2]
    heat = cv2.resize(np.float32(heat), (width, height), interpolation=cv2.INTER_LINEAR)
    place = heat if colors == 'inferno' else (heat + 1) / 2
    painted = colormaps[colors](place)[..., :3] * 255
    opacity = (0.25 + 0.6 * np.abs(heat))[..., None]
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None]
    return np.uint8(np.rint(grey * (1 - opacity) + painted * opacity))


def save_figure(figure: Figure, path: str | os.PathLike, *, dpi: int = 150) -> Path:
    """Write a figure whole or not at all; the ending of the name says how: png, svg, pdf, jpg.

    Raises:
        ValueError: If matplotlib does not write such files.
        OSError: If it cannot be written.
    """
    path, content = Path(path), io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower() or 'png', dpi=dpi)
    replace_file(path, content.getvalue())
    return path


def figure_array(figure: Figure, *, dpi: int = 100) -> np.ndarray:
    """The figure as a picture, BGR uint8, as OpenCV shows and writes it."""
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=dpi)
    return cv2.imdecode(np.frombuffer(content.getvalue(), np.uint8), cv2.IMREAD_COLOR)


def _attention_to(
    explanation: FrameExplanation, template: int | None
) -> tuple[np.ndarray, np.ndarray, str]:
    """Attention ``(layers, queries, rows, columns)``, its crop and what that is called."""
    if template is None:
        return explanation.search_attention, explanation.crop, 'search region'
    names = _template_names(explanation)
    if not 0 <= template < len(names):
        raise ValueError(
            f'template is {template}, expected 0 to {len(names) - 1} (0 is the static one), or '
            'None for the search region.'
        )
    heats = explanation.template_attention[:, :, template]
    return heats, explanation.templates[template], names[template]


def _template_names(explanation: FrameExplanation) -> list[str]:
    count = len(explanation.templates) - 1
    online = (
        ['online template'] if count == 1 else [f'online template {i + 1}' for i in range(count)]
    )
    return ['static template', *online]


def _askers(explanation: FrameExplanation) -> str:
    return 'search token in the box' if len(explanation.queries) == 1 else 'prediction tokens'


def _make_panels(
    rows: int, columns: int, title: str, side: float = 1.9
) -> tuple[Figure, np.ndarray]:
    """A figure with a table of axes without ticks, ``(rows, columns)``; panels of inches."""
    size = (max(4.8, side * columns + 1.3), (side + 0.22) * rows + 0.75)
    figure = Figure(figsize=size, layout='constrained')
    figure.suptitle(title, fontsize='medium')
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    return figure, panels


def _scaled(heat: np.ndarray, highest: float) -> np.ndarray:
    return heat / highest if highest > 0 else heat  # weights that are too small are 0


def _show(panel: Axes, picture: np.ndarray) -> None:
    panel.imshow(picture, interpolation='bilinear')


def _draw_box(panel: Axes, explanation: FrameExplanation, query: str = '') -> None:
    """The predicted box in pixels of the crop, with the edge of a query in its colour."""
    if explanation.box_norm is None:
        return
    height, width = explanation.crop.shape[:2]
    left, top, right, bottom = explanation.box_norm * [width, height, width, height] - 0.5
    panel.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, color='white', lw=0.9)
    )
    lines = {
        'left': ([left, left], [top, bottom]),
        'top': ([left, right], [top, top]),
        'right': ([right, right], [top, bottom]),
        'bottom': ([left, right], [bottom, bottom]),
    }
    if query in lines:
        panel.plot(*lines[query], color=EDGE_COLORS[query], lw=2.4)
    panel.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _name_row(panel: Axes, query: str) -> None:
    panel.set_ylabel(query, color=EDGE_COLORS.get(query, 'black'), fontweight='bold')


def _add_scale(
    figure: Figure, panels: np.ndarray, colors: str, ends: tuple[float, float], label: str
) -> None:
    scale = ScalarMappable(Normalize(*ends), colors)
    figure.colorbar(scale, ax=panels, shrink=0.8, pad=0.02).set_label(label, fontsize='small')
