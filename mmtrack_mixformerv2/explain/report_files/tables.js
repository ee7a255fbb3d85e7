// Numbers of the frame and of the whole sequence, and where the target was lost.

function tableRow(name, cells) {
  const head = element('th', { textContent: name });
  head.scope = 'row';
  return element('tr', {}, head, ...cells);
}

function tableHead() {
  return element('thead', {}, element('tr', {}, element('td'),
    ...report.tracks.map((track) => {
      const head = element('th', { textContent: track.name });
      head.scope = 'col';
      return head;
    })));
}

function fillTable(id, rows) {
  const body = rows.map(([name, value]) => tableRow(name, report.tracks.map((track) => {
    const text = value(track);
    const cell = element('td', { textContent: text });
    if (['tracked', 'uncertain', 'lost'].includes(text)) cell.className = `state-${text}`;
    return cell;
  })));
  byId(id).replaceChildren(tableHead(), element('tbody', {}, ...body));
}

function known(name) {
  return report.tracks.some((track) => track[name].some((value) => value !== null));
}

function fillNumbers() {
  const frame = frameNow();
  const rows = [];
  if (known('states')) rows.push(['State', (track) => track.states[frame] || '–']);
  if (known('score')) rows.push(['Score', (track) => format(track.score[frame], 3)]);
  if (known('confidence')) rows.push(['Confidence', (track) => format(track.confidence[frame], 3)]);
  if (known('overlap')) rows.push(['Overlap', (track) => format(track.overlap[frame], 3)]);
  ['x', 'y', 'width', 'height'].forEach((name, index) => {
    rows.push([`Box ${name} (px)`, ({ boxes }) => format(boxes[frame] && boxes[frame][index], 1)]);
  });
  if (report.tracks.some((track) => Object.keys(track.edges).length)) {
    EDGE_NAMES.forEach((name, index) => {
      rows.push([`Spread, ${name} (px)`,
        (track) => format(track.edges[frame] && track.edges[frame].spread[index], 1)]);
    });
  }
  rows.push(['Template updated', (track) => (track.updates.includes(frame) ? 'yes' : 'no')]);
  fillTable('numbers', rows);
}

// Numbers of the frames that were tracked: the box of the first one is given.
function tracked(values) {
  return values.slice(1).filter((value) => value !== null);
}

function mean(values) {
  const numbers = tracked(values);
  return numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length : null;
}

function share(values, test) {
  const numbers = tracked(values);
  if (!numbers.length) return '–';
  return `${(100 * numbers.filter(test).length / numbers.length).toFixed(0)} %`;
}

function fillOverall() {
  const rows = [['Frames', (track) => String(track.boxes.length)]];
  if (known('states')) {
    for (const state of ['tracked', 'uncertain', 'lost']) {
      rows.push([`Frames ${state}`, (track) => share(track.states, (value) => value === state)]);
    }
  }
  if (known('overlap')) {
    rows.push(['Mean overlap', (track) => format(mean(track.overlap), 3)]);
    rows.push(['Overlap above 0.5', (track) => share(track.overlap, (value) => value > 0.5)]);
  }
  if (known('score')) rows.push(['Mean score', (track) => format(mean(track.score), 3)]);
  if (known('confidence')) {
    rows.push(['Mean confidence', (track) => format(mean(track.confidence), 3)]);
  }
  rows.push(['Template updates', (track) => String(track.updates.length)]);
  fillTable('overall', rows);
}

function fillLost() {
  for (const track of report.tracks) {
    byId('lost').append(element('h3', { textContent: track.name }), lostList(track));
  }
}

function lostList(track) {
  const runs = findRuns(track.states).filter(([state]) => state === 'lost');
  const judged = track.states.some(Boolean);
  if (!runs.length) {
    const text = judged ? 'Never.' : 'This run tells no states.';
    return element('p', { className: 'hint', textContent: text });
  }
  return element('ul', {}, ...runs.map(([, first, last]) => {
    const count = last - first + 1;
    const time = report.rate ? `, ${(count / report.rate).toFixed(1)} s` : '';
    const text = `${frameRange(first, last)} (${count}${time})`;
    const button = element('button', { type: 'button', textContent: text });
    button.addEventListener('click', () => goToFrame(first));
    return element('li', {}, button);
  }));
}
