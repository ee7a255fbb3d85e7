// Pictures, boxes, edge distributions and heat maps on a canvas.

const EDGE_NAMES = ['left', 'top', 'right', 'bottom'];
const EDGE_COLORS = { left: '#2f9bff', top: '#ff9f1c', right: '#e83e8c', bottom: '#2fbf5b' };
// On pictures of any colour, so not those of the page.
const BOX_STYLES = {
  tracked: { color: '#2fd697', dash: [] },
  uncertain: { color: '#ffb020', dash: [9, 5] },
  lost: { color: '#ff5277', dash: [3, 3] },
  none: { color: '#45b4ff', dash: [] },
};

function decodeBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Decoded JPEG pictures by number; keeps the last ones.
class Pictures {
  constructor(codes, most = 60) {
    this.codes = codes;
    this.most = most;
    this.cache = new Map();
  }

  get(index) {
    let promise = this.cache.get(index);
    if (promise === undefined) {
      promise = loadPicture(this.codes[index]);
      this.cache.set(index, promise);
      if (this.cache.size > this.most) this.cache.delete(this.cache.keys().next().value);
    }
    return promise;
  }
}

async function loadPicture(code) {
  const image = new Image();
  image.src = `data:image/jpeg;base64,${code}`;
  await image.decode();
  return image;
}

// Give a canvas as many pixels as it covers on the screen; gives those of one CSS pixel.
function fitCanvas(canvas, aspect) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(width / aspect));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  return ratio;
}

function strokeBox(context, box, scale, style, width) {
  const [x, y, w, h] = box.map((value) => value * scale);
  context.save();
  context.setLineDash([]);
  context.strokeStyle = 'rgba(0, 0, 0, .5)';
  context.lineWidth = width * 1.7;
  context.strokeRect(x, y, w, h);
  context.setLineDash(style.dash.map((value) => value * Math.max(1, width / 2)));
  context.strokeStyle = style.color;
  context.lineWidth = width;
  context.strokeRect(x, y, w, h);
  context.restore();
}

// The distributions of left and right stand on the top side of the box, those of top and bottom on
// its right side; on the opposite side if the picture ends too soon.
function drawEdges(context, box, edges, scale, pixel) {
  const bytes = decodeBytes(edges.bytes);
  const bins = bytes.length / 4;
  const [left, top, width, height] = box.map((value) => value * scale);
  const reach = Math.min(70, Math.max(22, 0.4 * Math.min(width, height) / pixel)) * pixel;
  const fits = { above: top > reach, right: left + width + reach < context.canvas.width };
  context.save();
  context.lineJoin = 'round';
  EDGE_NAMES.forEach((name, row) => {
    const across = row % 2 === 0; // positions are x
    const [base, outward] = across
      ? (fits.above ? [top, -1] : [top + height, 1])
      : (fits.right ? [left + width, 1] : [left, -1]);
    const [first, last] = edges.range[row].map((value) => value * scale);
    const values = bytes.subarray(row * bins, (row + 1) * bins);
    const points = Array.from(values, (value, bin) => {
      const along = first + (last - first) * bin / Math.max(1, bins - 1);
      const away = base + outward * reach * value / 255;
      return across ? [along, away] : [away, along];
    });
    for (const [from, to] of findSupport(values)) {
      const part = points.slice(from, to + 1);
      const ends = [part[0], part[part.length - 1]]
        .flatMap(([x, y]) => (across ? [x, base] : [base, y]));
      drawCurve(context, part, ends, EDGE_COLORS[name], pixel);
    }
    labelPeak(context, points, values, row, outward, pixel);
  });
  context.restore();
}

// Bins from where to where a distribution is more than next to nothing, with a bin on either side.
function findSupport(values) {
  return findRuns(Array.from(values, (value) => value > 4)).filter(([some]) => some)
    .map(([, first, last]) => [Math.max(0, first - 1), Math.min(values.length - 1, last + 1)]);
}

function drawCurve(context, points, ends, color, pixel) {
  tracePath(context, points, ends);
  context.globalAlpha = 0.45;
  context.fillStyle = color;
  context.fill();
  context.globalAlpha = 1;
  tracePath(context, points);
  context.strokeStyle = 'rgba(0, 0, 0, .6)';
  context.lineWidth = 3 * pixel;
  context.stroke();
  context.strokeStyle = color;
  context.lineWidth = 1.5 * pixel;
  context.stroke();
}

function tracePath(context, points, ends) {
  context.beginPath();
  if (ends) context.moveTo(ends[0], ends[1]);
  for (const [x, y] of points) context.lineTo(x, y);
  if (ends) context.lineTo(ends[2], ends[3]);
}

function labelPeak(context, points, values, row, outward, pixel) {
  let peak = 0;
  for (let bin = 1; bin < values.length; bin += 1) if (values[bin] > values[peak]) peak = bin;
  const [x, y] = points[peak];
  const shift = outward * 8 * pixel;
  const at = row % 2 === 0 ? [x, y + shift] : [x + shift, y];
  writeText(context, EDGE_NAMES[row][0].toUpperCase(), at, pixel);
}

function writeText(context, text, [x, y], pixel) {
  context.font = `600 ${12 * pixel}px system-ui, sans-serif`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineWidth = 3 * pixel;
  context.strokeStyle = 'rgba(0, 0, 0, .8)';
  context.strokeText(text, x, y);
  context.fillStyle = '#fff';
  context.fillText(text, x, y);
}

// Colours from clear over red to light yellow, with opacity, for values of 0 to 255.
function heatPicture(bytes, columns, rows) {
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext('2d');
  const image = context.createImageData(columns, rows);
  for (let i = 0; i < bytes.length; i += 1) {
    const value = bytes[i] / 255;
    image.data[4 * i] = 255 * Math.min(1, 0.35 + 1.3 * value);
    image.data[4 * i + 1] = 255 * Math.max(0, Math.min(1, 1.7 * value - 0.5));
    image.data[4 * i + 2] = 255 * Math.max(0, 1.6 * value - 1.1);
    image.data[4 * i + 3] = 225 * Math.min(1, 1.25 * value);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function drawHeat(context, heat, x, y, width, height) {
  context.save();
  context.fillStyle = 'rgba(0, 0, 0, .35)';
  context.fillRect(x, y, width, height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.drawImage(heat, x, y, width, height);
  context.restore();
}
