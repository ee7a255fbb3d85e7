"""The page: what stands where, and what happens on a click. The work is done elsewhere."""

from __future__ import annotations

import base64
import shutil
import tempfile
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import gradio as gr

from .clips import GENERATED_FRAMES, LARGEST_SEED, VIDEOS, Clip, open_clip, render_clip
from .run import (
    Run,
    draw_edge_picture,
    draw_timeline,
    find_telling_frame,
    summarize,
    track_clip,
)

if TYPE_CHECKING:
    from ..apis import Tracker

_KINDS = {
    'easy: nothing in its way': 'easy',
    'medium: turns, blur, look-alikes': 'medium',
    'hard: fast, and much of everything': 'hard',
    'hidden: out of sight for a while': 'occlusion',
}
_FIRST_SEED = 2
_SHOWN_WIDTH = 960  # pixels of the first frame on the page
_SESSION_SECONDS = 3600  # after which the results of a page that nobody uses are removed
_CLEAN_SECONDS = 600, _SESSION_SECONDS  # how often uploads are looked at, how old they get
_MESSAGE_SECONDS = 12
_BEFORE = 'The result will be below: a video, how sure the tracker was, and files to keep.'
_SCROLL = """() => setTimeout(
  () => document.querySelector('#results')?.scrollIntoView({behavior: 'smooth'}), 600)"""
_DOWNLOADS = {
    'html': 'Report (HTML)',
    'mp4': 'Video',
    'txt': 'Boxes (txt)',
    'csv': 'Table (CSV)',
    'json': 'Everything (JSON)',
}

_PICKER = """
${image ? `<div class="stage" role="img" aria-label="First frame of the clip. Drag a box around an
object, or type its numbers below."
style="width: min(100%, 720px, ${52 * frame_size[0] / frame_size[1]}vh)">
<img src="${image}" alt="" draggable="false">
<div class="marked" style="display: ${value && value[2] > 0 && value[3] > 0 ? 'block' : 'none'};
left: ${100 * value[0] / frame_size[0]}%; top: ${100 * value[1] / frame_size[1]}%;
width: ${100 * value[2] / frame_size[0]}%; height: ${100 * value[3] / frame_size[1]}%"></div>
</div>` : '<div class="nothing">The first frame of the clip will be here.</div>'}
"""
_PICKER_STYLE = """
.stage { position: relative; overflow: hidden; cursor: crosshair; touch-action: none;
  user-select: none; margin: 0 auto; }
.stage img { display: block; margin: 0; width: 100%; }
.marked { position: absolute; box-sizing: border-box; border: 2px solid #ffd000;
  outline: 1px solid #000; background: rgb(255 208 0 / 15%); pointer-events: none; }
.nothing { padding: 80px 20px; text-align: center; border: 1px dashed #999; }
"""


def build_page(
    tracker: Tracker, folder: Path, max_frames: int, ended: threading.Event
) -> gr.Blocks:
    """The page.

    Args:
        tracker: Takes BGR frames. One run at a time uses it.
        folder: For the files of all runs; each is removed with its page, all by the caller.
        max_frames: Of a clip, so many are tracked.
        ended: Runs stop when it is set.
    """
    actions = _Actions(tracker, folder, max_frames, ended)
    with gr.Blocks(
        title='MixFormerV2 demo', analytics_enabled=False, delete_cache=_CLEAN_SECONDS
    ) as page:
        gr.Markdown(
            '# Follow an object through a video\n'
            f'Mark one object in the first frame; `{tracker.name}` looks for it in all the others. '
            'Everything stays on this computer.',
            elem_id='title',
        )
        clip = gr.State(None, time_to_live=_SESSION_SECONDS)
        run = gr.State(None, time_to_live=_SESSION_SECONDS, delete_callback=_remove)
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                chooser = _Chooser(max_frames)
            with gr.Column(scale=5, min_width=360):
                marker = _Marker()
                track = gr.Button('3. Track it', variant='primary', elem_id='track')
                summary = gr.Markdown(_BEFORE, elem_id='summary')
        results = _Results()
        _wire_clips(actions, page, chooser, [clip, marker.picker, *marker.numbers])
        tracked = track.click(
            actions.track,
            [clip, run, *marker.numbers],
            [run, summary, *results.outputs],
            concurrency_limit=1,
            show_progress_on=summary,
        )
        tracked.success(None, js=_SCROLL)
        results.frame.release(
            actions.show_frame,
            [run, results.frame],
            [results.edges, results.timeline],
            show_progress='hidden',
        )
    return page


def _wire_clips(
    actions: _Actions, page: gr.Blocks, chooser: _Chooser, marked: list[gr.components.Component]
) -> None:
    """A new clip whenever another one is chosen; ``marked`` shows it."""
    gr.on(
        [page.load, chooser.kind.change, chooser.seed.change],
        actions.render,
        [chooser.kind, chooser.seed],
        marked,
        trigger_mode='always_last',
        show_progress_on=marked[1],
    )
    chooser.another.click(
        None, chooser.seed, chooser.seed, js=f'(seed) => (Number(seed) + 1) % {LARGEST_SEED + 1}'
    )
    chooser.upload.upload(
        actions.open, chooser.upload, [chooser.upload, *marked], show_progress_on=marked[1]
    )


def launch_options() -> dict[str, Any]:
    """How the page looks, for ``launch``: Gradio's own theme without fonts from the network."""
    theme = gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['monospace'])
    return dict(theme=theme, css=_read('page.css'), footer_links=[], ssr_mode=False)


class _Chooser:
    """The first step: a generated clip, or one of the user's."""

    def __init__(self, max_frames: int) -> None:
        gr.Markdown('### 1. Choose a clip')
        with gr.Tab('Generated'):
            self.kind = gr.Radio(list(_KINDS), value=next(iter(_KINDS)), label='Kind of clip')
            self.seed = gr.Number(
                _FIRST_SEED,
                label='Number of the clip',
                precision=0,
                minimum=0,
                maximum=LARGEST_SEED,
            )
            self.another = gr.Button('Another one', elem_id='another')
        with gr.Tab('Your video'):
            gr.Markdown(f'Of a long video, the first {max_frames} frames are tracked.')
            self.upload = gr.File(
                label='Video file',
                file_types=list(VIDEOS),
                type='filepath',
                height=160,
                elem_id='upload',
            )


class _Marker:
    """The second step: a box on the first frame, by dragging or by numbers."""

    def __init__(self) -> None:
        gr.Markdown('### 2. Drag a box around an object')
        self.picker = gr.HTML(
            [0, 0, 0, 0],
            html_template=_PICKER,
            css_template=_PICKER_STYLE,
            js_on_load=_read('box_picker.js'),
            image='',
            frame_size=[1, 1],
            elem_id='picker',
        )
        with gr.Row(elem_id='numbers'):
            self.numbers = [
                gr.Number(0, label=label, min_width=80)
                for label in ('left (x)', 'top (y)', 'width', 'height')
            ]
        self.picker.input(None, self.picker, self.numbers, js='(box) => box')
        for number in self.numbers:
            number.input(None, self.numbers, self.picker, js='(...box) => [box.map(Number)]')


class _Results:
    """What is shown after a run."""

    def __init__(self) -> None:
        with gr.Column(visible=False, elem_id='results') as self.all, gr.Row():
            with gr.Column(min_width=360):
                gr.Markdown('### Result')
                self.video = gr.Video(
                    show_label=False,
                    autoplay=True,
                    loop=True,
                    interactive=False,
                    buttons=[],
                    elem_id='video',
                )
                gr.Markdown('### Download')
                with gr.Row():
                    self.files = [
                        gr.DownloadButton(label, size='sm', min_width=150, elem_id=f'save_{kind}')
                        for kind, label in _DOWNLOADS.items()
                    ]
            with gr.Column(min_width=360):
                gr.Markdown(
                    '### How sure it is\n'
                    'While it is uncertain, it does not learn how the object looks now; while the '
                    'object is lost, it searches more widely.'
                )
                self.timeline = gr.Plot(show_label=False, elem_id='timeline')
                gr.Markdown(
                    '### Where it sees each side of the box\n'
                    'A curve for each side: narrow where it is sure, wide where it is not. The '
                    'slider starts at the frame of which it was least sure.'
                )
                self.frame = gr.Slider(0, 1, 0, step=1, label='Frame', elem_id='frame')
                self.edges = gr.Image(
                    show_label=False, interactive=False, buttons=['fullscreen'], elem_id='edges'
                )
        self.outputs = [
            self.all, self.video, self.timeline, self.frame, self.edges, *self.files
        ]  # fmt: skip


class _Actions:
    """What happens on a click; what the user can mend becomes a message on the page."""

    def __init__(
        self, tracker: Tracker, folder: Path, max_frames: int, ended: threading.Event
    ) -> None:
        self.tracker, self.folder, self.max_frames = tracker, folder, max_frames
        self.ended = ended

    def render(self, kind: str, seed: float | None) -> list[Any]:
        """Make a clip; the true box of its target is a first proposal."""
        if seed is None:  # while a number is being typed
            return [gr.skip()] * 6
        count = min(self.max_frames, GENERATED_FRAMES)
        clip = _tell(render_clip, _KINDS.get(kind, kind), seed, count)
        assert clip.truth_xywh is not None
        return _show_first(clip, [round(float(value), 1) for value in clip.truth_xywh[0]])

    def open(self, path: str | None) -> list[Any]:
        """Open an uploaded file; one that is no video goes away, and the clip before stays."""
        try:
            clip = open_clip(path)
        except (OSError, ValueError) as error:
            gr.Warning(str(error), duration=_MESSAGE_SECONDS)
            return [None, *[gr.skip()] * 6]
        return [gr.skip(), *_show_first(clip, [0.0] * 4)]

    def track(
        self,
        clip: Clip | None,
        before: Run | None,
        x: float | None,
        y: float | None,
        w: float | None,
        h: float | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio looks for this default
    ) -> list[Any]:
        """Track, and show what came of it."""

        def tell(done: int, count: int | None) -> None:
            if self.ended.is_set():
                raise gr.Error('The server has been stopped.', print_exception=False)
            progress((done, count), desc='Tracking', unit='frames')

        folder = Path(tempfile.mkdtemp(prefix='run_', dir=self.folder))
        try:
            box = (x, y, w, h)
            run = _tell(
                track_clip,
                self.tracker,
                clip,
                box,
                folder,
                max_frames=self.max_frames,
                progress=tell,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _remove(before)
        index = find_telling_frame(run)
        return [
            run,
            summarize(run),
            gr.Column(visible=True),
            run.video and str(run.video),
            draw_timeline(run, index),
            gr.Slider(maximum=len(run.log) - 1, value=index),
            draw_edge_picture(run, index),
            *[run.downloads.get(kind) and str(run.downloads[kind]) for kind in _DOWNLOADS],
        ]

    def show_frame(self, run: Run | None, index: float) -> list[Any]:
        """The edges of one frame, and where it is on the timeline."""
        if run is None:
            return [gr.skip(), gr.skip()]
        return [draw_edge_picture(run, index), draw_timeline(run, int(index))]


def _show_first(clip: Clip, box: list[float]) -> list[Any]:
    """Outputs for a new clip: itself, its first frame, the numbers of the box."""
    frame = clip.first_frame
    scale = min(1.0, _SHOWN_WIDTH / frame.shape[1])
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    code = base64.b64encode(cv2.imencode('.jpg', small)[1].tobytes()).decode()
    picker = gr.HTML(box, image=f'data:image/jpeg;base64,{code}', frame_size=list(clip.size))
    return [clip, picker, *box]


def _tell(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Do something; what the user can mend is shown as a message on the page."""
    try:
        return work(*args, **options)
    except (OSError, ValueError) as error:
        raise gr.Error(
            str(error), duration=_MESSAGE_SECONDS, title='This did not work', print_exception=False
        ) from error


def _remove(run: Run | None) -> None:
    if run is not None:
        shutil.rmtree(run.folder, ignore_errors=True)


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding='utf-8')
