// What the network attended to: the overlay on the frame, and the pictures below the timeline.

function layerOf(explanation) {
  const wanted = explanation.layers.indexOf(options.layer);
  return wanted < 0 ? explanation.layers.length - 1 : wanted;
}

function mapOf(explanation, query, templates) {
  const [rows, columns] = templates ? explanation.templateGrid : explanation.grid;
  const size = rows * columns * (templates ? explanation.templates.length : 1);
  const bytes = decodeBytes(templates ? explanation.templateAttention : explanation.searchAttention);
  const start = (layerOf(explanation) * explanation.queries.length + query) * size;
  return bytes.subarray(start, start + size);
}

function overlayOf(explanation, name) {
  const [rows, columns] = explanation.grid;
  if (name === 'similarity') return heatPicture(decodeBytes(explanation.similarity), columns, rows);
  const query = explanation.queries.indexOf(name);
  return query < 0 ? null : heatPicture(mapOf(explanation, query, false), columns, rows);
}

// The frame with attention that is on the screen: the last one until now, or the first of all.
function explainedFrame(track) {
  const frames = Object.keys(track.explanations).map(Number);
  return frames.filter((one) => one <= frameNow()).pop() ?? frames[0];
}

async function drawAttention(mine) {
  const tracks = report.tracks.filter((track) => explainedFrame(track) !== undefined);
  byId('attention').hidden = !tracks.length || !options.attention;
  if (byId('attention').hidden) return;
  const body = byId('attention-body');
  const wanted = JSON.stringify([options.layer, tracks.map(explainedFrame)]);
  if (body.dataset.content !== wanted) {
    const rows = await Promise.all(tracks.map(explanationRow));
    if (mine !== drawing) return;
    body.replaceChildren(...rows);
    body.dataset.content = wanted;
  }
  tracks.forEach((track, index) => {
    const frame = explainedFrame(track);
    const row = body.children[index];
    row.classList.toggle('other', frame !== frameNow());
    row.querySelector('button').hidden = frame === frameNow();
  });
}

async function explanationRow(track) {
  const frame = explainedFrame(track);
  const explanation = track.explanations[frame];
  const button = element('button', { type: 'button', textContent: 'Go there' });
  button.addEventListener('click', () => goToFrame(frame));
  const row = element('div', { className: 'explanation' },
    element('h3', {}, `${track.name}, frame ${frame} `, button));
  const crop = await loadPicture(explanation.crop);
  const templates = await Promise.all(explanation.templates.map(loadPicture));
  const [rows, columns] = explanation.grid;
  row.append(figure('input', 'crop and templates', drawCrop(crop, null),
    templates.map((one) => drawCrop(one, null))));
  explanation.queries.forEach((query, index) => {
    const heat = heatPicture(mapOf(explanation, index, false), columns, rows);
    const picture = drawCrop(crop, heat);
    if (explanation.box) drawEdgeLine(picture, explanation.box, query);
    const [search, template] = explanation.shares[layerOf(explanation)][index]
      .map((value) => `${(100 * value).toFixed(0)}%`);
    row.append(figure(`${query} edge`, `search ${search}, templates ${template}`, picture,
      template === '0%' ? templates.map((one) => drawCrop(one, null))
        : templateMaps(explanation, index, templates)));
  });
  const alike = heatPicture(decodeBytes(explanation.similarity), columns, rows);
  const most = `up to ${format(explanation.mostSimilar)}`;
  row.append(figure('similarity', most, drawCrop(crop, alike), []));
  return row;
}

function templateMaps(explanation, query, templates) {
  const [rows, columns] = explanation.templateGrid;
  const bytes = mapOf(explanation, query, true);
  return templates.map((picture, index) => drawCrop(picture, heatPicture(
    bytes.subarray(index * rows * columns, (index + 1) * rows * columns), columns, rows)));
}

function drawCrop(picture, heat) {
  const canvas = element('canvas', { width: picture.naturalWidth, height: picture.naturalHeight });
  const context = canvas.getContext('2d');
  context.drawImage(picture, 0, 0);
  if (heat) drawHeat(context, heat, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The edge that a token has found, on the search region.
function drawEdgeLine(canvas, box, query) {
  const index = EDGE_NAMES.indexOf(query);
  if (index < 0) return;
  const size = [canvas.width, canvas.height];
  const [left, top, right, bottom] = box.map((value, i) => value * size[i % 2]);
  const ends = [[left, top, left, bottom], [left, top, right, top], [right, top, right, bottom],
    [left, bottom, right, bottom]][index];
  const context = canvas.getContext('2d');
  context.beginPath();
  context.moveTo(ends[0], ends[1]);
  context.lineTo(ends[2], ends[3]);
  context.strokeStyle = EDGE_COLORS[query];
  context.lineWidth = canvas.width / 70;
  context.stroke();
}

function figure(title, text, picture, templates) {
  return element('figure', {}, element('figcaption', {},
    element('strong', { textContent: title }), element('br'), text), picture,
  element('div', { className: 'templates' }, ...templates));
}
