// The box on the first frame, drawn by dragging. Gradio calls this once, with `element`, `props`
// and `trigger`; the template is made anew whenever the image or the value changes.
// props.value is [x, y, width, height] in pixels of the frame, props.frame_size [width, height].

let corner = null; // where the dragging began, in pixels of the frame

const round = (value) => Math.round(value * 10) / 10;

const pixelAt = (event) => {
  const area = element.querySelector('img').getBoundingClientRect();
  const [width, height] = props.frame_size;
  const part = (value, start, length) => Math.min(Math.max((value - start) / length, 0), 1);
  return [
    part(event.clientX, area.left, area.width) * width,
    part(event.clientY, area.top, area.height) * height,
  ];
};

const boxBetween = (first, second) => [
  round(Math.min(first[0], second[0])),
  round(Math.min(first[1], second[1])),
  round(Math.abs(first[0] - second[0])),
  round(Math.abs(first[1] - second[1])),
];

const draw = (box) => {
  const [width, height] = props.frame_size;
  const style = element.querySelector('.marked').style;
  const sides = [box[0] / width, box[1] / height, box[2] / width, box[3] / height];
  const names = ['left', 'top', 'width', 'height'];
  names.forEach((name, index) => { style[name] = `${100 * sides[index]}%`; });
  style.display = 'block';
};

element.addEventListener('pointerdown', (event) => {
  if (event.button !== 0 || !event.target.closest('.stage')) return;
  event.preventDefault();
  element.setPointerCapture(event.pointerId);
  corner = pixelAt(event);
});

element.addEventListener('pointermove', (event) => {
  if (corner) draw(boxBetween(corner, pixelAt(event)));
});

element.addEventListener('pointerup', (event) => {
  if (!corner) return;
  const box = boxBetween(corner, pixelAt(event));
  corner = null;
  if (box[2] < 2 || box[3] < 2) { // a click, not a box
    props.value = [...props.value];
    return;
  }
  props.value = box;
  trigger('input');
});

element.addEventListener('pointercancel', () => {
  corner = null;
  props.value = [...props.value];
});
