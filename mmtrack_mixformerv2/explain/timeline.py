"""What a run over a video gave, frame by frame: score, confidence, state, template updates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..tracking.track_log import TrackLog

STATE_COLORS = {'tracked': '#d9f2df', 'uncertain': '#ffe8b3', 'lost': '#ffc9c9'}


def score_timeline(log: TrackLog, *, frame: int | None = None) -> Figure:
    """Score and confidence over the frames, over bands of the state, with template updates.

    A panel below shows how wide the edge distributions are, in percent of the size of the box (the
    mean standard deviation over the root of its area), if the results have them.

    Args:
        log: The run; what its results lack is not drawn.
        frame: A frame to mark.
    """
    spread = edge_spreads(log)
    has_spread = bool(np.isfinite(spread).any())
    figure = Figure(figsize=(9.0, 4.4 if has_spread else 3.0), layout='constrained')
    panels = figure.subplots(1 + has_spread, sharex=True, squeeze=False)[:, 0]
    frames = np.arange(len(log))
    for panel in panels:
        _draw_states(panel, log.states)
        if frame is not None:
            panel.axvline(frame, color='black', lw=1)
    scores = panels[0]
    for label, values, color in (
        ('score', log.scores, '#1f77b4'),
        ('confidence', log.confidences, '#7b3fa0'),
    ):
        if np.isfinite(values).any():
            scores.plot(frames, values, color=color, lw=1.4, label=label)
    for update in log.template_updates:
        scores.axvline(update, color='#555555', lw=0.8, ls=':')
        scores.plot([update], [1.05], marker='v', color='#555555', clip_on=False, zorder=3)
    scores.set(ylim=(0, 1.05), ylabel='score, confidence')
    if has_spread:
        panels[1].plot(frames, 100 * spread, color='#d2691e', lw=1.4)
        panels[1].set(ylabel='edge spread\n[% of box size]', ylim=(0, None))
    panels[-1].set(xlabel='frame', xlim=(0, max(1, len(log) - 1)))
    figure.suptitle(log.name, fontsize='medium')
    _add_legend(figure, scores, log, frame)
    return figure


def edge_spreads(log: TrackLog) -> np.ndarray:
    """Mean standard deviation of the edges over the root of the box's area, ``(N,)``, or NaN."""
    spread = np.full(len(log), np.nan)
    for index, result in enumerate(log.results):
        if result.edges is not None:
            w, h = result.box_xywh[2:]
            spread[index] = result.edges.spread.mean() / np.sqrt(max(float(w * h), 1e-9))
    return spread


def _draw_states(panel: Axes, states: Sequence[str | None]) -> None:
    """A band for every run of frames in one state, from half a frame before to half behind."""
    start = 0
    for state, run in groupby(states):
        stop = start + sum(1 for _ in run)
        if state is not None:
            panel.axvspan(start - 0.5, stop - 0.5, color=STATE_COLORS[state], lw=0)
        start = stop


def _add_legend(figure: Figure, scores: Axes, log: TrackLog, frame: int | None) -> None:
    handles = list(scores.get_legend_handles_labels()[0])
    if log.template_updates:
        handles.append(Line2D([], [], color='#555555', ls=':', marker='v', label='template update'))
    if frame is not None:
        handles.append(Line2D([], [], color='black', lw=1, label=f'frame {frame}'))
    present = [state for state in STATE_COLORS if state in log.states]
    handles += [Patch(color=STATE_COLORS[state], label=state) for state in present]
    if handles:
        figure.legend(
            handles=handles, loc='outside lower center', ncols=len(handles), fontsize='small'
        )
