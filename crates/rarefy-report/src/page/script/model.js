// What the page knows about the model: latents, rows, and the formula of small models.

function modelOf(D) {
  const { head } = D, n = head.latents, shape = head.picture;
  const pixels = shape ? shape.width * shape.height * shape.channels : 0;
  const example = pairs(D, "example", n), near = pairs(D, "near", n), together = pairs(D, "together", n);
  const raised = pairs(D, "raised", n), lowered = pairs(D, "lowered", n);
  const exampleStarts = starts(D.example_n, n);
  const M = { D, head, n, shape, near, together, raised, lowered, exampleStarts };

  M.label = row => (D.row_label && D.row_label[row]) || "";
  M.text = row => (D.row_text && D.row_text[row]) || "";
  M.rowName = row => [M.label(row), M.text(row)].filter(Boolean).join(": ") || `row ${D.row_number[row]}`;
  M.described = row => (M.label(row) ? `row ${D.row_number[row]}, label ${M.label(row)}` : `row ${D.row_number[row]}`) + (M.text(row) ? `: ${M.text(row)}` : "");
  M.examples = latent => example(latent).map(e => ({ row: e.i, value: e.value, quarter: D.example_q[e.at] }));
  M.rowPicture = row => shape && D.row_px
    ? picture(shape, D.row_px.subarray(row * pixels, (row + 1) * pixels), `picture of ${M.rowName(row)}`) : null;
  M.filter = latent => shape && D.filter_px
    ? picture(shape, D.filter_px.subarray(latent * pixels, (latent + 1) * pixels), `filter of latent ${latent}`) : null;

  /// Name of a latent, or in quotes the text of its strongest row: a text is no name.
  M.name = latent => {
    if (D.name && D.name[latent]) return D.name[latent];
    const [top] = M.examples(latent), text = top && M.text(top.row);
    return text ? `“${text}”` : "";
  };
  M.status = latent => head.status[D.status[latent]];
  M.most = latent => Math.max(Math.abs(D.low ? D.low[latent] : 0), Math.abs(D.high ? D.high[latent] : 0));

  /// Size of a latent's part of the reconstruction of a row: activation times length of the decoder row.
  M.part = (latent, activation) => activation * (D.length ? D.length[latent] : 1);

  if (head.formula) addFormula(M);
  return M;
}

/// Functions of a model whose weights are in the page.
function addFormula(M) {
  const { D, n } = M, f = M.head.formula;
  const inputs = D.w_enc.length / n, outputs = D.b_dec.length;
  const sigmoid = v => 1 / (1 + Math.exp(-v));
  M.inputs = inputs;

  /// Latents of a row, as a list of (latent, activation).
  M.encode = x => {
    const pre = new Float64Array(n);
    for (let j = 0; j < n; j++) {
      let sum = D.b_enc[j];
      for (let i = 0; i < inputs; i++) sum += D.w_enc[j * inputs + i] * x[i];
      pre[j] = sum;
    }
    const all = Array.from(pre, (value, i) => ({ i, value }));
    if (f.rule === "sigmoid") return all.map(({ i, value }) => ({ i, value: sigmoid(value) }));
    if (f.rule === "above") return all.filter(({ i, value }) => value > D.threshold[i]);
    const size = f.rule === "magnitudes" ? Math.abs : v => v;
    const kept = all.filter(e => size(e.value) > 0).sort((a, b) => size(b.value) - size(a.value));
    return kept.slice(0, f.k);
  };

  /// Reconstruction from a list of latents.
  M.decode = latents => {
    const y = Float64Array.from(D.b_dec);
    for (const { i, value } of latents)
      for (let o = 0; o < outputs; o++) y[o] += value * D.w_dec[i * outputs + o];
    return y.map((v, o) => (f.sigmoid_output ? sigmoid(v) : v) * D.out_scale[o] + D.out_shift[o]);
  };

  /// What one latent writes, before the sigmoid if there is one.
  M.writes = (latent, activation) => {
    const row = D.w_dec.subarray(latent * outputs, (latent + 1) * outputs);
    return Float64Array.from(row, (v, o) => activation * v * D.out_scale[o]);
  };
}
