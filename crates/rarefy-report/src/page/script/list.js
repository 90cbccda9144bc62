// The list of all latents: search, filters, order; as cards or as a table. Only lines in view are in the page.

const ORDERS = {
  number: ["number", (D, a, b) => a - b],
  rate: ["most active first", (D, a, b) => D.rate[b] - D.rate[a]],
  rare: ["rarest first", (D, a, b) => (D.rate[a] || 2) - (D.rate[b] || 2)],
  max: ["largest activation first", (D, a, b) => D.most[b] - D.most[a]],
  lifetime: ["sparsest first", (D, a, b) => D.lifetime[b] - D.lifetime[a]],
  score: ["correlation with the score", (D, a, b) => Math.abs(D.correlation[b]) - Math.abs(D.correlation[a])],
  hits: ["best match first", () => 0],
};

const KINDS = {
  all: ["all latents", () => true],
  alive: ["alive", (D, l) => D.status[l] === 0],
  rare: ["rare: below 0.01 % of rows", (D, l) => D.rate[l] > 0 && D.rate[l] < 1e-4],
  dense: ["dense: above 10 % of rows", (D, l) => D.rate[l] > 0.1],
  twin: ["near-duplicates: cosine above 0.9", (D, l, M) => (M.near(l)[0] || {}).value > 0.9 && D.rate[l] > 0],
  dead: ["dead", (D, l) => D.status[l] === 1],
  noted: ["with a note", (D, l, M) => M.notes.has(l)],
};

function listOf(M, open) {
  const { D } = M, box = document.querySelector("#list");
  const search = document.querySelector("#search"), order = document.querySelector("#order"), kind = document.querySelector("#kind");
  const view = document.querySelector("#view"), count = document.querySelector("#count");
  D.most = Float32Array.from({ length: M.n }, (_, l) => M.most(l));
  const orders = Object.entries(ORDERS).filter(([key]) => key !== "hits" && (key !== "score" || D.correlation));
  orders.forEach(([key, [name]]) => order.append(make("option", { value: key }, name)));
  Object.entries(KINDS).forEach(([key, [name]]) => kind.append(make("option", { value: key }, name)));
  const lower = searchable(M), usual = D.correlation ? "score" : "number";
  let latents = [], words = "", cards = Boolean(M.shape), hits = null;

  const find = () => {
    words = search.value.trim().toLowerCase();
    const number = /^#?\d+$/.test(words) ? +words.replace("#", "") : -1;
    hits = words && number < 0 ? lower(words) : null;
    const [, wanted] = KINDS[kind.value], [, compare] = ORDERS[order.value];
    latents = [...Array(M.n).keys()].filter(l => wanted(D, l, M) && (!hits || hits[l] > 0));
    // A number finds its latent, and a label or text that is the same number as well.
    if (number >= 0) {
      const same = lower(words);
      latents = latents.filter(l => l === number || same[l] > 0);
      latents.sort((a, b) => (b === number) - (a === number) || same[b] - same[a]);
    } else latents.sort((a, b) => (hits && order.value === usual ? hits[b] - hits[a] : 0) || compare(D, a, b) || a - b);
    count.textContent = `${latents.length} of ${M.n} latents`;
    box.scrollTop = 0;
    M.found = words || kind.value !== "all" ? new Set(latents) : null;
    draw();
    M.redrawMap && M.redrawMap();
  };

  /// Height and width of a line, and its number of latents.
  const geometry = () => {
    if (!cards) return [box.clientWidth < 560 ? 58 : 40, 1];
    const least = M.shape ? 92 : 270, across = Math.max(1, Math.floor((box.clientWidth - 8) / least));
    const wide = (box.clientWidth - 8) / across;
    return [M.shape ? Math.round((wide - 8) * M.shape.height / M.shape.width) + 28 : 152, across];
  };

  const draw = () => {
    const [height, across] = geometry(), lines = Math.ceil(latents.length / across);
    const most = Math.round(innerHeight * 0.7);
    box.style.height = Math.max(80, Math.min(lines * height, most)) + "px";
    const first = Math.max(0, Math.floor(box.scrollTop / height) - 2);
    const last = Math.min(lines, first + Math.ceil(Math.min(lines * height, most) / height) + 5);
    const space = make("div", { style: `height:${lines * height}px`, class: "space" });
    for (let line = first; line < last; line++) {
      const row = make("div", { class: cards ? "line cards" : "line", style: `top:${line * height}px;height:${height}px;--across:${across}` });
      latents.slice(line * across, (line + 1) * across).forEach(l => row.append(cards ? card(l) : tableLine(l)));
      space.append(row);
    }
    const focused = box.contains(document.activeElement) && document.activeElement.getAttribute("href");
    box.replaceChildren(latents.length ? space : make("p", { class: "soft" }, "No latent matches."));
    // A link that had the focus keeps it when its line is drawn anew.
    if (focused) (box.querySelector(`a[href="${focused}"]`) || box).focus({ preventScroll: true });
    view.textContent = cards ? "as a table" : "as cards";
  };

  const link = (l, ...children) =>
    make("a", { href: `#latent-${l}`, class: l === M.opened ? "on" : "", "aria-label": `latent ${l} ${M.name(l)}` }, ...children);

  const card = l => {
    if (M.shape) return link(l, M.filter(l), make("small", {}, `#${l} · ${percent(D.rate[l])}`));
    const rows = M.examples(l).slice(0, 3), most = M.most(l) || 1;
    const lines = rows.map(e => make("span", { class: "example" }, bar(e.value / most, short(e.value)), make("span", {}, ...marked(M.rowName(e.row), words))));
    return link(l, make("b", {}, `#${l} `, ...marked(M.name(l), words)), make("small", {}, percent(D.rate[l])), ...lines);
  };

  const tableLine = l => {
    const cells = [
      make("span", { class: "number" }, `#${l}`),
      make("span", { class: "name" }, M.status(l) === "alive" ? "" : make("em", {}, M.status(l) + " "), ...marked(M.name(l), words)),
      make("span", { class: "rate" }, bar(Math.sqrt(D.rate[l]), "firing rate"), percent(D.rate[l])),
      make("span", { class: "max" }, short(D.most[l])),
    ];
    if (M.shape) cells.splice(1, 0, make("span", { class: "thumb" }, M.filter(l)));
    if (D.correlation) cells.push(make("span", { class: "score" }, signed(D.correlation[l], 2)));
    M.head.inputs.forEach((name, i) => cells.push(make("span", { class: "score", title: `writes ${name}` }, percent(D.share[l * M.head.inputs.length + i]))));
    return link(l, ...cells);
  };

  view.addEventListener("click", () => { cards = !cards; heads(); box.scrollTop = 0; draw(); });
  const heads = () => {
    const names = ["latent", ...(M.shape ? [""] : []), "name", "firing rate", "largest"];
    if (D.correlation) names.push("correlation");
    const all = [...names, ...M.head.inputs.map(name => `writes ${name}`)];
    const keys = { latent: "number", "firing rate": "rate", largest: "max", correlation: "score" };
    const head = all.map(name => keys[name]
      ? make("button", { onclick: () => { order.value = keys[name]; find(); } }, name)
      : make("span", {}, name));
    document.querySelector("#heads").replaceChildren(...(cards ? [] : head));
    box.parentElement.style.setProperty("--columns", `4rem ${M.shape ? "2.2rem " : ""}minmax(0, 1fr) 9rem 5rem`);
  };
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(find, 60); });
  [order, kind].forEach(control => control.addEventListener("change", find));
  box.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  addEventListener("resize", draw);
  order.value = usual;
  heads();
  find();
  M.redrawList = draw;
  M.findAgain = find;
}

/// Search over names, labels and texts: the share of each latent's examples, by activation, that match, and 1 more for its name.
function searchable(M) {
  const { D } = M;
  let rows = null, names = null;
  return words => {
    rows ||= Array.from({ length: M.head.rows }, (_, row) => `${M.label(row)} ${M.text(row)}`.toLowerCase());
    names ||= Array.from({ length: M.n }, (_, l) => (D.name ? D.name[l] : "").toLowerCase());
    const parts = words.split(/\s+/), has = text => parts.every(part => text.includes(part));
    const match = Uint8Array.from(rows, row => has(row) ? 1 : 0);
    const found = new Float32Array(M.n);
    for (let l = 0; l < M.n; l++) {
      let all = 0, hit = 0;
      for (let at = M.exampleStarts[l]; at < M.exampleStarts[l + 1]; at++) {
        const size = Math.abs(D.example_v[at]);
        all += size;
        if (match[D.example_i[at]]) hit += size;
      }
      found[l] = (all ? hit / all : 0) + (has(names[l]) ? 1 : 0) + (M.notes.has(l) && has(M.notes.get(l).toLowerCase()) ? 1 : 0);
    }
    return found;
  };
}
