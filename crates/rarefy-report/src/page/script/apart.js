// One row taken apart: a row as the sum of its latents.

const MOST_PARTS = 24;

function apartView(M) {
  const { D, head, shape } = M, place = document.querySelector("#apart-view");
  if (!place) return;
  const list = document.querySelector("#apart-rows"), rows = D.apart_row ? D.apart_row.length : 0;
  const latents = pairs(D, "apart", rows);
  const inputs = D.apart_x ? D.apart_x.length / rows : 0, outputs = D.apart_x_hat ? D.apart_x_hat.length / rows : 0;
  const input = i => inputs ? D.apart_x.subarray(i * inputs, (i + 1) * inputs) : null;
  const output = i => outputs ? D.apart_x_hat.subarray(i * outputs, (i + 1) * outputs) : null;
  const image = (values, label) => picture(shape, levels(values, shape.low, shape.high), label);
  const captioned = (element, text) => make("figure", {}, element, make("figcaption", {}, text));

  /// The sum after the first latents, in steps that double.
  const sums = parts => {
    if (!M.decode || !shape) return null;
    const counts = [0, 1, 2, 4, 8, 16, 32].filter(c => c < parts.length);
    const steps = [...counts, parts.length].map(c =>
      captioned(image(M.decode(parts.slice(0, c)), `sum of ${c} latents`), c === 0 ? "bias" : c === parts.length ? "all" : `${c} latent${c > 1 ? "s" : ""}`));
    return make("div", {}, make("h4", {}, "Sum of the bias and the largest latents"), make("div", { class: "steps-of-sum" }, steps));
  };

  /// A row: values or null, list of latents, reconstruction or null, name.
  const show = (x, active, x_hat, name) => {
    const parts = active.map(e => ({ ...e, part: M.part(e.i, e.value) })).sort((a, b) => Math.abs(b.part) - Math.abs(a.part));
    const most = parts.length ? Math.abs(parts[0].part) : 1;
    const writes = M.writes && shape ? parts.slice(0, MOST_PARTS).map(e => M.writes(e.i, e.value)) : [];
    const strongest = writes.reduce((m, w) => w.reduce((n, v) => Math.max(n, Math.abs(v)), m), 0);
    const lines = parts.slice(0, MOST_PARTS).map((e, at) => make("li", {},
      writes[at] ? picture(shape, signedLevels(writes[at], strongest), `part of latent ${e.i}`) : "",
      make("a", { href: `#latent-${e.i}` }, `#${e.i} ${M.name(e.i)}`), bar(e.part / most, short(e.part)), make("small", { title: `activation ${short(e.value)}` }, e.part.toPrecision(3))));
    const pictures = shape && x ? [captioned(image(x, "the row"), "row"), x_hat ? captioned(image(x_hat, "reconstruction"), "reconstruction") : ""] : [];
    // The reconstruction of a transcoder is that of its target, which the page does not have.
    const error = x && x_hat && !head.target ? remaining(x, x_hat) : "";
    place.replaceChildren(
      make("p", { class: "named" }, name), make("div", { class: "steps-of-sum" }, pictures),
      make("p", { class: "soft" }, `${active.filter(e => head.selected || e.value > 0.5).length} active latents. ${error}`), sums(parts) || "",
      make("h4", {}, "Parts of the sum: activation times length of the decoder row"),
      make("ul", { class: "parts" }, lines),
      parts.length > MOST_PARTS ? make("p", { class: "soft" }, `${parts.length - MOST_PARTS} smaller parts are left out.`) : "");
  };

  const remaining = (x, x_hat) => {
    const left = x.reduce((sum, v, i) => sum + (v - x_hat[i]) ** 2, 0);
    return `Squared error, in the units of the data: ${short(left)}.`;
  };

  M.takeApart = i => {
    [...list.children].forEach((child, at) => child.classList.toggle("on", at === i));
    show(input(i), latents(i), output(i), M.described(D.apart_row[i]));
  };
  for (let i = 0; i < rows; i++) {
    const row = D.apart_row[i], label = M.rowName(row);
    const shown = shape ? M.rowPicture(row) : label;
    list.append(make("button", { title: label, "aria-label": `take ${label} apart`, onclick: () => M.takeApart(i) }, shown));
  }
  if (M.encode) ownRow(M, (x, name) => { const active = M.encode(x); show(x, active, M.decode(active), name); });
  if (rows) M.takeApart(0);
}

/// A row of the reader: drawn with the pointer, or typed.
function ownRow(M, show) {
  const { shape } = M, box = document.querySelector("#own");
  // Nobody types hundreds of values.
  if (M.inputs > 256 && !shape) return;
  box.hidden = false;
  const typed = document.querySelector("#typed"), said = document.querySelector("#typed-said");
  document.querySelector("#typed-go").addEventListener("click", () => {
    const x = typed.value.split(/[\s,;[\]]+/).filter(Boolean).map(Number);
    const bad = x.findIndex(v => !Number.isFinite(v));
    said.textContent = bad >= 0 ? `Value ${bad + 1} is no number.` : x.length !== M.inputs ? `${x.length} values; the model reads ${M.inputs}.` : "";
    if (!said.textContent) show(x, "your row");
  });
  if (!shape || shape.channels !== 1 || shape.width * shape.height !== M.inputs) return;
  const pad = document.querySelector("#pad"), clear = document.querySelector("#pad-clear");
  pad.closest("[hidden]").hidden = false;
  [pad.width, pad.height] = [shape.width, shape.height];
  pad.style.aspectRatio = `${shape.width} / ${shape.height}`;
  let x;
  const draw = () => {
    const image = picture(shape, levels(x, shape.low, shape.high), "your drawing");
    pad.getContext("2d").drawImage(image, 0, 0);
  };
  const wipe = () => { x = new Float64Array(M.inputs).fill(shape.low); draw(); };
  const paint = event => {
    if (event.buttons !== 1 && event.type !== "pointerdown") return;
    event.preventDefault();
    const box = pad.getBoundingClientRect(), radius = Math.max(0.9, shape.width / 14);
    const cx = (event.clientX - box.left) / box.width * shape.width, cy = (event.clientY - box.top) / box.height * shape.height;
    for (let i = 0; i < x.length; i++) {
      const distance = Math.hypot(i % shape.width + 0.5 - cx, Math.floor(i / shape.width) + 0.5 - cy);
      const ink = Math.max(0, Math.min(1, 1.4 - distance / radius)) * (shape.high - shape.low) + shape.low;
      x[i] = Math.max(x[i], ink);
    }
    draw();
    show(x, "your drawing");
  };
  pad.addEventListener("pointerdown", event => { pad.setPointerCapture(event.pointerId); paint(event); });
  pad.addEventListener("pointermove", paint);
  clear.addEventListener("click", wipe);
  wipe();
}
