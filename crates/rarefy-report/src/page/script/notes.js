// Notes of the reader, kept by the browser, and files for other programs.

function notesOf(M) {
  const key = `rarefy notes: ${document.documentElement.dataset.key}`, said = document.querySelector("#notes-said");
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem(key)) || {}; } catch { /* a page may be without storage */ }
  M.notes = new Map(Object.entries(kept).map(([l, text]) => [+l, text]));
  const store = () => {
    try { localStorage.setItem(key, JSON.stringify(Object.fromEntries(M.notes))); said.textContent = `${M.notes.size} notes, kept by this browser`; }
    catch { said.textContent = "This browser keeps no notes of this page: export them before you close it."; }
  };
  M.note = (l, text) => { if (text.trim()) M.notes.set(l, text); else M.notes.delete(l); store(); };
  if (M.notes.size) said.textContent = `${M.notes.size} notes, kept by this browser`;

  const name = document.documentElement.dataset.key.replace(/[^\w-]+/g, "-").slice(0, 60);
  const described = l => M.notes.get(l) || (M.D.name && M.D.name[l]) || "";
  const on = (id, work) => document.querySelector(id).addEventListener("click", work);
  on("#save-notes", () => save(`${name}-notes.json`, "application/json",
    JSON.stringify({ title: M.head.title, notes: Object.fromEntries(M.notes) }, null, 1)));
  on("#load-notes", () => make("input", { type: "file", accept: ".json", onchange: async event => {
    try {
      const { notes } = JSON.parse(await event.target.files[0].text());
      for (const [l, text] of Object.entries(notes)) if (Number.isInteger(+l) && +l >= 0 && +l < M.n) M.notes.set(+l, String(text));
      store(); M.findAgain();
    } catch { said.textContent = "This file has no notes of rarefy."; }
  } }).click());
  on("#save-neuronpedia", () => {
    const lines = [...Array(M.n).keys()].filter(described).map(l => JSON.stringify({
      modelId: M.head.title, layer: name, index: String(l), description: described(l), typeName: M.notes.has(l) ? "human" : "rarefy-tf-idf", explanationModelName: "" }));
    save(`${name}-explanations.jsonl`, "application/jsonl", lines.join("\n") + "\n");
  });
  on("#save-saedashboard", () => save(`${name}-batch-0.json`, "application/json", JSON.stringify(dashboard(M))));
}

/// All latents in the layout of SAEDashboard's batch files, whose reader refuses other keys.
function dashboard(M) {
  const { D, head } = M;
  const features = [...Array(M.n).keys()].map(l => {
    const counts = D.count ? [...D.count.subarray(l * head.bins, (l + 1) * head.bins)] : [];
    const edge = i => D.low[l] + (D.high[l] - D.low[l]) * (i + 0.5) / head.bins;
    const tokens = list => list.map(e => D.token[e.i]), values = list => list.map(e => e.value);
    const lens = D.token ? { pos_str: tokens(M.raised(l)), pos_values: values(M.raised(l)), neg_str: tokens(M.lowered(l)), neg_values: values(M.lowered(l)) } : { pos_str: [], pos_values: [], neg_str: [], neg_values: [] };
    return { feature_index: l, ...lens, frac_nonzero: D.rate[l],
      freq_hist_data_bar_values: counts.map((_, i) => edge(i)), freq_hist_data_bar_heights: counts,
      correlated_features_indices: M.together(l).map(e => e.i), correlated_features_pearson: [],
      activations: M.examples(l).map(e => ({ bin_min: -1, bin_max: e.quarter, bin_contains: -1, tokens: [M.rowName(e.row)], values: [e.value], qualifying_token_index: 0 })) };
  });
  return { model_id: head.title, layer: 0, sae_set: "rarefy", sae_id_suffix: "", features };
}
