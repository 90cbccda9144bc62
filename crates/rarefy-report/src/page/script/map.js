// The map of decoder rows and the heat map of labels.

const HUES = ["#2b5fa8", "#b4532a", "#4d7a3a", "#7a4d80", "#a08419", "#2a8a8a", "#a83a5e", "#6b6b6b", "#7a93d1", "#c98f5a"];

function mapView(M) {
  const { D, head } = M, canvas = document.querySelector("#map");
  if (!canvas || !D.place) return;
  const tip = document.querySelector("#map-tip"), classes = head.classes.length;
  const best = Int32Array.from({ length: M.n }, (_, l) => {
    let most = 0, at = -1;
    for (let c = 0; c < classes && D.class_mean; c++) {
      const size = Math.abs(D.class_mean[l * classes + c]);
      if (size > most) { most = size; at = c; }
    }
    return at;
  });
  let strength = null;
  const legend = document.querySelector("#map-legend");
  if (classes && classes <= HUES.length) {
    legend.replaceChildren("Colour: the label with the largest mean activation. ", ...head.classes.flatMap((name, c) => [make("span", { style: `color:${HUES[c]};white-space:nowrap` }, `●\u00a0${name}`), " "]));
  } else if (D.correlation) {
    const most = D.correlation.reduce((m, r) => Math.max(m, Math.abs(r)), 0) || 1;
    strength = l => Math.abs(D.correlation[l]) / most;
    legend.replaceChildren("Colour: ", make("span", { class: "rises" }, "● rises"), " or ", make("span", { class: "falls" }, "● falls"), " with the score; stronger colours for stronger correlations.");
  } else legend.textContent = "Darker points: latents that are active on more rows.";
  const point = l => [(0.03 + 0.94 * D.place[2 * l]) * canvas.width, (0.97 - 0.94 * D.place[2 * l + 1]) * canvas.height];

  M.redrawMap = () => {
    const scale = devicePixelRatio || 1, size = Math.round(canvas.clientWidth * scale);
    if (!size) return;
    canvas.width = canvas.height = size;
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const radius = Math.max(1.5, Math.min(6, 130 / Math.sqrt(M.n))) * scale;
    for (let l = 0; l < M.n; l++) {
      const [x, y] = point(l), found = !M.found || M.found.has(l);
      const rate = Math.max(0, Math.min(1, 1 + Math.log10(Math.max(D.rate[l], 1e-6)) / 5));
      const score = strength && strength(l);
      pen.globalAlpha = found && strength ? 0.12 + 0.88 * score : !found ? 0.07 : D.rate[l] === 0 ? 0.15 : classes && classes <= HUES.length ? 0.85 : 0.2 + 0.8 * rate;
      pen.fillStyle = classes && classes <= HUES.length && best[l] >= 0 ? HUES[best[l]] : style.getPropertyValue(strength && D.correlation[l] < 0 ? "--rust" : "--blue");
      pen.beginPath(); pen.arc(x, y, radius, 0, 7); pen.fill();
    }
    pen.globalAlpha = 1;
    if (M.opened >= 0) {
      const [x, y] = point(M.opened);
      pen.strokeStyle = style.getPropertyValue("--rust"); pen.lineWidth = 2 * scale;
      pen.beginPath(); pen.arc(x, y, radius + 5 * scale, 0, 7); pen.stroke();
    }
  };
  const nearest = event => {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let at = -1, least = (16 * scale) ** 2;
    for (let l = 0; l < M.n; l++) {
      const [px, py] = point(l), d = (px - x) ** 2 + (py - y) ** 2;
      if (d < least && (!M.found || M.found.has(l))) { least = d; at = l; }
    }
    return at;
  };
  canvas.addEventListener("pointermove", event => {
    const l = nearest(event);
    tip.textContent = l < 0 ? " " : `#${l} ${M.name(l)} · ${percent(D.rate[l])} of rows`;
    canvas.style.cursor = l < 0 ? "default" : "pointer";
  });
  canvas.addEventListener("click", event => { const l = nearest(event); if (l >= 0) location.hash = `latent-${l}`; });
  addEventListener("resize", M.redrawMap);
  M.redrawMap();
}

/// Heat map of labels by latents, and the latents of each label.
function labelView(M) {
  const { D, head } = M, place = document.querySelector("#heat");
  if (!place || !D.class_mean) return;
  const classes = head.classes.length, tip = document.querySelector("#heat-tip");
  const mean = (l, c) => D.class_mean[l * classes + c];
  const all = [...Array(M.n).keys()].map(l => {
    const means = head.classes.map((_, c) => Math.abs(mean(l, c)));
    const most = Math.max(...means), sum = means.reduce((a, b) => a + b, 0);
    return { l, best: means.indexOf(most), most, choosy: sum ? most / sum : 0 };
  }).filter(e => e.most > 0);
  const columns = all.sort((a, b) => b.choosy - a.choosy).slice(0, 256).sort((a, b) => a.best - b.best || b.choosy - a.choosy);
  if (!columns.length) return;
  const grid = make("div", { class: "heat-grid", style: `--columns:${columns.length}` });
  head.classes.forEach((name, c) => {
    grid.append(make("span", { class: "class" }, name));
    const canvas = make("canvas", { width: columns.length, height: 1, role: "img", "aria-label": `mean activations on label ${name}` });
    const image = new ImageData(columns.length, 1);
    columns.forEach((e, x) => image.data.set([43, 95, 168, 255 * Math.abs(mean(e.l, c)) / e.most], 4 * x));
    canvas.getContext("2d").putImageData(image, 0, 0);
    const at = event => { const box = canvas.getBoundingClientRect(); return columns[Math.min(columns.length - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * columns.length)))]; };
    canvas.addEventListener("pointermove", event => { const e = at(event); tip.textContent = `latent ${e.l} on ${name}: mean activation ${short(mean(e.l, c))}`; });
    canvas.addEventListener("click", event => { location.hash = `latent-${at(event).l}`; });
    grid.append(canvas);
  });
  const best = head.classes.map((name, c) => {
    const own = all.filter(e => e.best === c).sort((a, b) => b.choosy * b.most / M.most(b.l) - a.choosy * a.most / M.most(a.l)).slice(0, 8);
    return make("div", { class: "of-class" }, make("b", {}, name), own.map(e => make("a", { href: `#latent-${e.l}`, title: `latent ${e.l}: ${percent(e.choosy)} of its mean activations are on ${name}` }, M.filter(e.l) || "", `#${e.l}`)));
  });
  place.replaceChildren(grid, make("h4", {}, "Latents of each label"), make("div", { class: "of-classes" }, best));
}
