// Small parts of the page: elements, numbers, pictures and charts.

/// Element with attributes and children: make("a", {href: "#x"}, "text", other).
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(child => child != null && child !== ""));
  return element;
}

const percent = share => {
  const p = 100 * share;
  return (p === 0 ? "0" : p < 0.01 ? p.toPrecision(1) : p < 1 ? p.toFixed(2) : p.toFixed(1)) + " %";
};

const short = value => {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "no number";
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e5) return value.toExponential(1);
  return String(+value.toPrecision(3));
};

/// Number with its sign; none for what rounds to 0.
const signed = (value, digits) => (+value.toFixed(digits) === 0 ? 0 : value).toFixed(digits);

/// Canvas with a picture of levels from 0 to 255.
function picture(shape, levels, label) {
  const { width, height, channels } = shape;
  const canvas = make("canvas", { width, height, role: "img", "aria-label": label, class: "picture" });
  const image = new ImageData(width, height);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) image.data[4 * p + c] = levels[p * channels + (channels === 3 ? c : 0)];
    image.data[4 * p + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/// Levels of values between two ends.
function levels(values, low, high) {
  const span = high > low ? high - low : 1;
  return Uint8ClampedArray.from(values, v => 255 * (v - low) / span);
}

/// Levels of weights: 128 for 0, scaled by the largest.
function signedLevels(values, largest) {
  const most = largest || values.reduce((m, v) => Math.max(m, Math.abs(v)), 0) || 1;
  return Uint8ClampedArray.from(values, v => 127.5 + 127.5 * v / most);
}

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/// Histogram with logarithmic heights; the counts are in the hover texts.
function histogram(counts, low, high, label) {
  const width = 320, height = 90, bar = width / counts.length;
  const most = Math.log1p(Math.max(...counts, 1));
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height + 16}`, class: "histogram", role: "img", "aria-label": label });
  counts.forEach((count, i) => {
    const tall = height * Math.log1p(count) / most;
    const [from, to] = [i, i + 1].map(edge => short(low + (high - low) * edge / counts.length));
    const title = svg("title", {});
    title.textContent = `${from} to ${to}: ${count} rows`;
    chart.append(svg("rect", { x: i * bar + 0.5, y: height - tall, width: bar - 1, height: tall, class: "bin" }, title));
    // A bar that is hard to hit can be hovered over its whole column.
    const column = svg("rect", { x: i * bar, y: 0, width: bar, height, fill: "transparent" }, title.cloneNode(true));
    chart.append(column);
  });
  for (const [x, anchor, value] of [[0, "start", low], [width, "end", high]]) {
    const text = svg("text", { x, y: height + 13, "text-anchor": anchor });
    text.textContent = short(value);
    chart.append(text);
  }
  return chart;
}

/// Bar of a share from 0 to 1, or from -1 to 1.
function bar(share, label) {
  const wide = Math.min(1, Math.abs(share)) * 100;
  const fill = make("i", { style: `width:${wide.toFixed(1)}%`, class: share < 0 ? "minus" : "" });
  return make("span", { class: "bar", title: label }, fill);
}

/// A text with the words of a search marked.
function marked(text, words) {
  const parts = words ? words.split(/\s+/).filter(Boolean) : [];
  const lower = text.toLowerCase();
  // A lower-case text of another length has its letters at other places.
  if (!parts.length || lower.length !== text.length) return [text];
  const pattern = new RegExp(parts.map(part => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "g");
  const found = [];
  let from = 0;
  for (const match of lower.matchAll(pattern)) {
    found.push(text.slice(from, match.index), make("mark", {}, text.slice(match.index, match.index + match[0].length)));
    from = match.index + match[0].length;
  }
  return [...found, text.slice(from)];
}

/// Hands a file of the browser's memory to the reader.
function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
