// Score, confidence, overlap, states and events of one tracker over all frames.

const SVG = 'http://www.w3.org/2000/svg';
const PLOT = { left: 34, right: 10, top: 16, height: 92, band: 112, axis: 142, total: 150 };
const CURVES = {
  score: 'Score', confidence: 'Confidence', overlap: 'Overlap with the annotation (IoU)',
};

function svgElement(tag, attributes = {}, text = '') {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

// Runs of equal values: [value, first, last].
function findRuns(values) {
  const runs = [];
  values.forEach((value, index) => {
    const last = runs[runs.length - 1];
    if (last && last[0] === value) last[2] = index;
    else runs.push([value, index, index]);
  });
  return runs;
}

class Timeline {
  constructor(track, count, jump) {
    this.track = track;
    this.count = count;
    this.frame = 0;
    this.svg = svgElement('svg', {
      class: 'timeline', role: 'img', 'aria-label': `Timeline of ${track.name}. Click to jump.`,
    });
    const follow = (event) => {
      const bounds = this.svg.getBoundingClientRect();
      jump(this.frameAt(event.clientX - bounds.left));
    };
    this.svg.addEventListener('pointerdown', (event) => {
      this.svg.setPointerCapture(event.pointerId);
      follow(event);
    });
    this.svg.addEventListener('pointermove', (event) => {
      if (event.buttons & 1) follow(event);
    });
    new ResizeObserver(() => this.render()).observe(this.svg);
  }

  get kinds() {
    return Object.keys(CURVES).filter((kind) => this.track[kind].some((value) => value !== null));
  }

  x(frame) {
    const room = this.width - PLOT.left - PLOT.right;
    return PLOT.left + room * (frame + 0.5) / this.count;
  }

  frameAt(x) {
    const room = this.width - PLOT.left - PLOT.right;
    const frame = Math.floor((x - PLOT.left) / room * this.count);
    return Math.min(this.count - 1, Math.max(0, frame));
  }

  render() {
    this.width = Math.max(120, this.svg.clientWidth);
    const parts = [
      ...this.bands(), ...this.grid(), ...this.kinds.flatMap((kind) => this.curve(kind)),
      ...this.marks(),
    ];
    this.playhead = svgElement('line', { class: 'playhead', y1: 2, y2: PLOT.band + 14 });
    this.svg.replaceChildren(...parts, this.playhead);
    this.show(this.frame);
  }

  show(frame) {
    this.frame = frame;
    if (!this.playhead) return;
    this.playhead.setAttribute('x1', this.x(frame));
    this.playhead.setAttribute('x2', this.x(frame));
  }

  y(value) {
    return PLOT.top + PLOT.height * (1 - Math.min(1, Math.max(0, value)));
  }

  grid() {
    const parts = [0, 0.5, 1].flatMap((value) => [
      svgElement('line', {
        class: 'grid', x1: PLOT.left, x2: this.width - PLOT.right,
        y1: this.y(value), y2: this.y(value),
      }),
      svgElement('text', { x: PLOT.left - 6, y: this.y(value) + 4, 'text-anchor': 'end' }, String(value)),
    ]);
    const wanted = Math.max(2, Math.floor(this.width / 110));
    const unit = 10 ** Math.floor(Math.log10(Math.max(1, this.count / wanted)));
    const step = [1, 2, 5, 10].map((k) => k * unit).find((k) => this.count / k <= wanted);
    for (let frame = 0; frame < this.count; frame += step) {
      parts.push(svgElement('text', { x: this.x(frame), y: PLOT.axis, 'text-anchor': 'middle' },
        frame ? String(frame) : 'frame 0'));
    }
    return parts;
  }

  bands() {
    const half = (this.width - PLOT.left - PLOT.right) / this.count / 2;
    return findRuns(this.track.states).filter(([state]) => state).flatMap(([state, first, last]) => {
      const x = this.x(first) - half;
      const width = this.x(last) + half - x;
      const band = svgElement('rect', { class: `band ${state}`, x, width, y: PLOT.band, height: 12 });
      band.append(svgElement('title', {}, `${state}: ${frameRange(first, last)}`));
      const tint = svgElement('rect', {
        class: `tint ${state}`, x, width, y: PLOT.top, height: PLOT.height,
      });
      return state === 'tracked' ? [band] : [tint, band];
    });
  }

  // A line for each run of numbers, a dot for a number that stands alone.
  curve(kind) {
    const values = this.track[kind];
    return findRuns(values.map((value) => value !== null)).filter(([known]) => known)
      .map(([, first, last]) => {
        if (first === last) {
          return svgElement('circle', {
            class: `dot ${kind}`, cx: this.x(first), cy: this.y(values[first]), r: 2.5,
          });
        }
        const points = values.slice(first, last + 1)
          .map((value, i) => `${this.x(first + i).toFixed(1)} ${this.y(value).toFixed(1)}`);
        return svgElement('path', { class: `curve ${kind}`, d: `M${points.join('L')}` });
      });
  }

  marks() {
    const updates = this.track.updates.map((frame) => {
      const x = this.x(frame);
      const mark = svgElement('path', { class: 'update', d: `M${x - 5} 3h10l-5 9z` });
      mark.append(svgElement('title', {}, `template update: frame ${frame}`));
      return mark;
    });
    const explained = Object.keys(this.track.explanations).map(Number).map((frame) => {
      const mark = svgElement('circle', { class: 'explained', cx: this.x(frame), cy: PLOT.axis - 13, r: 3 });
      mark.append(svgElement('title', {}, `attention is kept: frame ${frame}`));
      return mark;
    });
    return [...updates, ...explained];
  }

  legend() {
    const keys = this.kinds.map((kind) => keyItem(CURVES[kind],
      svgElement('path', { class: `curve ${kind}`, d: 'M0 6H26' })));
    const states = new Set(this.track.states.filter(Boolean));
    for (const state of ['tracked', 'uncertain', 'lost']) {
      if (states.has(state)) {
        keys.push(keyItem(state, svgElement('rect', { class: `band ${state}`, width: 26, height: 10, y: 1 })));
      }
    }
    if (this.track.updates.length) {
      keys.push(keyItem('Template update', svgElement('path', { class: 'update', d: 'M8 1h10l-5 9z' })));
    }
    if (Object.keys(this.track.explanations).length) {
      keys.push(keyItem('Attention kept', svgElement('circle', { class: 'explained', cx: 13, cy: 6, r: 3 })));
    }
    return keys;
  }
}

function keyItem(text, shape) {
  const item = document.createElement('span');
  item.className = 'key';
  const picture = svgElement('svg', { viewBox: '0 0 26 12', 'aria-hidden': 'true' });
  picture.append(shape);
  item.append(picture, text);
  return item;
}

function frameRange(first, last) {
  return first === last ? `frame ${first}` : `frames ${first} to ${last}`;
}
