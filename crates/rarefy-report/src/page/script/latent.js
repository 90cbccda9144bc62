// One latent in full.

function latentView(M) {
  const { D, head } = M, panel = document.querySelector("#latent");
  const linked = (list, unit) => list.map(e => make("li", {},
    make("a", { href: `#latent-${e.i}` }, M.filter(e.i) || "", `#${e.i} ${M.name(e.i)}`), make("small", {}, `${unit} ${e.value.toFixed(2)}`)));
  const block = (title, ...children) => make("section", {}, make("h4", {}, title), ...children);

  const figures = l => {
    const facts = [["firing rate", percent(D.rate[l])], [head.selected ? "mean over all rows" : "ρ̂, mean over all rows", short(D.mean[l])],
      ["largest activation", short(M.examples(l).length ? M.examples(l)[0].value : 0)], ["lifetime sparsity", D.lifetime[l].toFixed(2)], ["status", M.status(l)]];
    if (D.correlation) facts.push(["correlation with the score", signed(D.correlation[l], 3)]);
    head.inputs.forEach((name, i) => facts.push([`writes ${name}`, percent(D.share[l * head.inputs.length + i])]));
    return make("dl", { class: "facts" }, facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  };

  const classes = l => {
    const count = head.classes.length;
    if (!count || !D.class_mean) return null;
    const means = head.classes.map((name, c) => [name, D.class_mean[l * count + c]]);
    means.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const most = Math.abs(means[0][1]) || 1;
    const lines = means.slice(0, 10).map(([name, mean]) => make("li", {}, make("span", {}, name), bar(mean / most, short(mean)), make("small", {}, short(mean))));
    return block("Mean activation by label", make("ul", { class: "bars" }, lines));
  };

  const example = (l, e) => {
    const name = M.rowName(e.row), image = M.rowPicture(e.row), row = `row ${D.row_number[e.row]}`;
    if (image) return make("li", { class: "shot", title: `${name}, activation ${short(e.value)}` }, image, make("small", {}, M.label(e.row) || row));
    return make("li", { class: "words" }, bar(e.value / (M.most(l) || 1), short(e.value)), make("span", {}, name), make("small", {}, short(e.value)));
  };

  const examples = l => {
    const all = M.examples(l), titles = ["Most active rows", "After a quarter of its active rows", "In the middle", "After three quarters"];
    return titles.map((title, quarter) => {
      const part = all.filter(e => e.quarter === quarter);
      return part.length ? block(title, make("ul", { class: M.shape ? "shots" : "texts" }, part.map(e => example(l, e)))) : null;
    });
  };

  const tokens = l => {
    if (!D.token) return null;
    const list = of => make("ul", { class: "tokens" }, of(l).map(e => make("li", {}, make("code", {}, D.token[e.i].replace(/\n/g, "⏎")), make("small", {}, e.value.toFixed(2)))));
    return [block("Tokens that it raises", list(M.raised)), block("Tokens that it lowers", list(M.lowered))];
  };

  const note = l => {
    const box = make("textarea", { rows: 2, placeholder: "what does this latent mean?", "aria-label": `note on latent ${l}` });
    box.value = M.notes.get(l) || "";
    box.addEventListener("input", () => M.note(l, box.value));
    return block("Your note", box);
  };

  const draw = l => {
    const close = make("button", { onclick: () => { history.replaceState(null, "", "#latents"); M.open(-1); }, "aria-label": "close this latent" }, "close");
    const step = (by, label) => make("a", { href: `#latent-${(l + by + M.n) % M.n}`, class: "button", "aria-label": label }, by < 0 ? "‹" : "›");
    const counts = D.count ? D.count.subarray(l * head.bins, (l + 1) * head.bins) : null;
    const groups = [
      make("div", { class: "top" }, make("h3", { id: "latent-title", tabindex: -1 }, `Latent ${l}`), make("span", { class: "steps" }, step(-1, "latent before"), step(1, "next latent"), close)),
      M.name(l) ? make("p", { class: "named" }, M.name(l)) : null,
      M.filter(l) ? make("div", { class: "big" }, M.filter(l)) : null,
      figures(l),
      counts ? block("Activations (heights are logarithmic)", histogram([...counts], D.low[l], D.high[l], `histogram of the activations of latent ${l}`)) : null,
      classes(l), note(l), ...examples(l), ...(tokens(l) || []),
      M.near(l).length ? block("Similar decoder rows", make("ul", { class: "links" }, linked(M.near(l), "cosine"))) : null,
      M.together(l).length ? block("Active on the same rows", make("ul", { class: "links" }, linked(M.together(l), "share"))) : null,
    ];
    panel.replaceChildren(...groups.filter(Boolean));
  };

  /// Opens a latent, or closes the panel for -1.
  M.open = l => {
    const before = M.opened;
    M.opened = l;
    document.body.classList.toggle("opened", l >= 0);
    panel.hidden = l < 0;
    if (l >= 0) { draw(l); panel.scrollTop = 0; document.querySelector("#latent-title").focus({ preventScroll: true }); }
    else if (before >= 0) document.querySelector("#list").focus({ preventScroll: true });
    M.redrawList && M.redrawList();
    M.redrawMap && M.redrawMap();
  };
  addEventListener("keydown", e => {
    if (e.key === "Escape" && M.opened >= 0) { history.replaceState(null, "", "#latents"); M.open(-1); }
  });
}
