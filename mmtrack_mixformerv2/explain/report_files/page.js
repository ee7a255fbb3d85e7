// The page: one position in the sequence, shown in pictures, curves, tables and controls.

const report = JSON.parse(document.getElementById('report-data').textContent);
const shown = report.pictures.frames; // frames that have a picture
const pictures = new Pictures(report.pictures.jpeg);
const options = { overlay: 'none', layer: -1 };
const panels = [];
const timelines = [];
let position = 0; // index into shown
let playing = null;
let drawing = 0; // number of the newest drawing; older ones stop

function byId(id) {
  return document.getElementById(id);
}

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function format(value, digits = 2) {
  return value === null || value === undefined ? '–' : value.toFixed(digits);
}

function frameNow() {
  return shown[position];
}

// The last shown frame that is not after a frame, or the one nearest to it.
function nearest(frame) {
  let best = 0;
  shown.forEach((one, index) => {
    if (Math.abs(one - frame) < Math.abs(shown[best] - frame)) best = index;
  });
  return best;
}

function stateOf(track, frame) {
  if (frame === 0) return 'given';
  return frame < track.boxes.length ? track.states[frame] || 'none' : 'none';
}

function go(index) {
  position = Math.min(shown.length - 1, Math.max(0, index));
  update();
}

function goToFrame(frame) {
  go(nearest(frame));
}

// ---- pictures ----------------------------------------------------------------------------------

function makePanel(track) {
  const badge = element('span', { className: 'badge' });
  const canvas = element('canvas');
  canvas.setAttribute('role', 'img');
  const head = element('div', { className: 'panel-head' },
    element('h2', { textContent: track.name }), badge);
  const node = element('article', { className: 'panel' }, head, canvas);
  byId('panels').append(node);
  new ResizeObserver(() => drawPanels()).observe(node);
  return { track, badge, canvas };
}

async function drawPanels() {
  drawing += 1;
  const mine = drawing;
  const image = await pictures.get(position);
  if (mine !== drawing) return;
  for (const panel of panels) drawPanel(panel, image);
  drawAttention(mine);
  document.body.dataset.frame = String(frameNow());
  if (position + 1 < shown.length) pictures.get(position + 1);
}

function drawPanel({ track, badge, canvas }, image) {
  const frame = frameNow();
  const pixel = fitCanvas(canvas, report.size[0] / report.size[1]);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const scale = canvas.width / report.size[0];
  drawRegion(context, track.explanations[frame], scale, pixel);
  const truth = report.truth && report.truth[frame];
  if (options.truth && truth) {
    strokeBox(context, truth, scale, { color: '#ffffff', dash: [] }, 1.2 * pixel);
  }
  const box = track.boxes[frame];
  const state = stateOf(track, frame);
  if (box) {
    const style = BOX_STYLES[state] || BOX_STYLES.none;
    if (options.boxes) strokeBox(context, box, scale, style, 2.4 * pixel);
    if (options.edges && track.edges[frame]) {
      drawEdges(context, box, track.edges[frame], scale, pixel);
    }
  }
  badge.dataset.state = state;
  badge.textContent = { given: 'box as given', none: 'no state' }[state] || state;
  badge.hidden = state === 'none';
  canvas.setAttribute('aria-label', describe(track, frame, state));
}

function describe(track, frame, state) {
  const box = track.boxes[frame];
  if (!box) return `${track.name}: frame ${frame}, no result`;
  const [x, y, w, h] = box.map(Math.round);
  const found = state === 'none' ? 'box' : `${state}, box`;
  return `${track.name}: frame ${frame}, ${found} of ${w} by ${h} pixels at ${x}, ${y}`;
}

function drawRegion(context, explanation, scale, pixel) {
  if (!explanation) return;
  const region = explanation.region.map((value) => value * scale);
  if (options.overlay !== 'none') {
    const heat = overlayOf(explanation, options.overlay);
    if (heat) drawHeat(context, heat, ...region);
  }
  if (options.region) {
    strokeBox(context, explanation.region, scale, { color: '#ffe27a', dash: [2, 5] }, 1.2 * pixel);
  }
}

// ---- controls ----------------------------------------------------------------------------------

function findEvents() {
  const frames = report.tracks.flatMap((track) => [
    ...track.updates, ...findRuns(track.states.slice(1)).slice(1).map(([, first]) => first + 1),
  ]);
  return [...new Set(frames.map(nearest))].sort((a, b) => a - b);
}

const events = findEvents();

function goToEvent(direction) {
  const ahead = direction > 0 ? events.find((index) => index > position)
    : events.findLast((index) => index < position);
  if (ahead !== undefined) go(ahead);
}

function addToggle(name, label, checked) {
  const box = element('input', { type: 'checkbox', id: `show-${name}`, checked });
  options[name] = checked;
  box.addEventListener('change', () => {
    options[name] = box.checked;
    drawPanels();
  });
  byId('toggles').append(element('label', {}, box, ` ${label}`));
}

function addChoice(name, label, values) {
  const select = element('select', { id: `choose-${name}` },
    ...values.map(([value, text]) => element('option', { value, textContent: text })));
  select.value = String(options[name]);
  select.addEventListener('change', () => {
    options[name] = name === 'layer' ? Number(select.value) : select.value;
    drawPanels();
  });
  byId('overlay').append(element('label', {}, label, select));
}

function addControls() {
  const explanations = report.tracks.flatMap((track) => Object.values(track.explanations));
  addToggle('boxes', 'box', true);
  if (report.truth) addToggle('truth', 'annotation', true);
  if (report.tracks.some((track) => Object.keys(track.edges).length)) {
    addToggle('edges', 'edge distributions', true);
  }
  byId('overlay').hidden = !explanations.length;
  if (explanations.length) {
    addToggle('region', 'search region', true);
    addToggle('attention', 'attention', true);
    const queries = [...new Set(explanations.flatMap((one) => one.queries))];
    const layers = [...new Set(explanations.flatMap((one) => one.layers))].sort((a, b) => a - b);
    options.layer = layers[layers.length - 1];
    addChoice('overlay', '', [['none', 'nothing'],
      ...queries.map((name) => [name, `attention of the ${name} token`]),
      ['similarity', 'similarity to the target']]);
    addChoice('layer', 'Layer ', layers.map((layer) => [String(layer), String(layer)]));
  }
  byId('events').hidden = !events.length;
}

function setPlaying(on) {
  if (playing) clearTimeout(playing);
  playing = null;
  byId('play').textContent = on ? 'Pause' : 'Play';
  if (!on) return;
  if (position === shown.length - 1) go(0);
  const step = async () => {
    const started = performance.now();
    const gap = shown.length > 1 ? (shown[shown.length - 1] - shown[0]) / (shown.length - 1) : 1;
    const wait = 1000 * gap / (report.rate || 25) / Number(byId('speed').value);
    if (position + 1 >= shown.length) {
      setPlaying(false);
      return;
    }
    await pictures.get(position + 1);
    if (!playing) return;
    go(position + 1);
    playing = setTimeout(step, Math.max(0, wait - (performance.now() - started)));
  };
  playing = setTimeout(step, 0);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName;
  const onSlider = event.target.id === 'slider';
  if (tag === 'SELECT' || (tag === 'INPUT' && !onSlider && event.key === ' ')) return;
  if (event.key === ' ' && (tag === 'BUTTON' || tag === 'SUMMARY')) return;
  const step = event.shiftKey ? 10 : 1;
  const actions = {
    ArrowLeft: () => go(position - step),
    ArrowRight: () => go(position + step),
    Home: () => go(0),
    End: () => go(shown.length - 1),
    ' ': () => setPlaying(!playing),
    n: () => goToEvent(1),
    p: () => goToEvent(-1),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function update() {
  const frame = frameNow();
  const slider = byId('slider');
  slider.value = String(position);
  const states = report.tracks.map((track) => track.states[frame]).filter(Boolean);
  slider.setAttribute('aria-valuetext', [`frame ${frame}`, ...states].join(', '));
  const time = report.rate ? `, ${(frame / report.rate).toFixed(2)} s` : '';
  byId('position').textContent = `frame ${frame} of ${report.count - 1}${time}`;
  byId('previous').disabled = position === 0;
  byId('next').disabled = position === shown.length - 1;
  for (const timeline of timelines) timeline.show(frame);
  fillNumbers();
  drawPanels();
}

function fillHeader() {
  const [width, height] = report.size;
  const rate = report.rate ? `, ${Number(report.rate.toFixed(2))} frames per second` : '';
  byId('summary').textContent = `${report.count} frames of ${width} by ${height} pixels${rate}`;
  byId('notes').append(...report.notes.map((text) => element('li', { textContent: text })));
}

function addTimelines() {
  for (const track of report.tracks) {
    const timeline = new Timeline(track, report.count, goToFrame);
    const head = element('div', { className: 'timeline-head' },
      element('h2', { textContent: track.name }), ...timeline.legend());
    byId('timelines').append(element('div', {}, head, timeline.svg));
    timelines.push(timeline);
    if (!timeline.kinds.length && !track.states.some(Boolean)) {
      const text = 'It gives boxes, and no score or state.';
      head.append(element('span', { className: 'key', textContent: text }));
      timeline.svg.remove();
    }
  }
}

function connect() {
  const slider = byId('slider');
  slider.max = String(shown.length - 1);
  slider.addEventListener('input', () => go(Number(slider.value)));
  byId('previous').addEventListener('click', () => go(position - 1));
  byId('next').addEventListener('click', () => go(position + 1));
  byId('play').addEventListener('click', () => setPlaying(!playing));
  byId('previous-event').addEventListener('click', () => goToEvent(-1));
  byId('next-event').addEventListener('click', () => goToEvent(1));
  document.addEventListener('keydown', onKey);
  const read = () => {
    const wanted = /^#frame=(\d+)$/.exec(window.location.hash);
    if (wanted) goToFrame(Number(wanted[1]));
  };
  window.addEventListener('hashchange', read);
  return read;
}

byId('panels').style.setProperty('--aspect', String(report.size[0] / report.size[1]));
fillHeader();
addControls();
panels.push(...report.tracks.map(makePanel));
if (panels.length === 1) { // there is room for the table beside the picture
  byId('panels').className = 'one';
  byId('panels').append(byId('numbers').parentElement);
}
addTimelines();
fillOverall();
fillLost();
const readAddress = connect();
update();
readAddress();
