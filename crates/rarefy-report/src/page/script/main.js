// Start of the page.

(async () => {
  const begin = performance.now(), root = document.documentElement, button = document.querySelector("#theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    if (M) M.redrawMap && M.redrawMap();
  });
  let M = null;
  hoverCharts();
  if (!document.querySelector("#data")) return;
  const D = await unpack();
  M = modelOf(D);
  M.opened = -1;
  // For readers who look closer with the browser's console.
  window.rarefy = M;
  notesOf(M);
  latentView(M);
  listOf(M);
  mapView(M);
  labelView(M);
  apartView(M);
  penaltySlider(M);
  const route = () => {
    const latent = /^#latent-(\d+)$/.exec(location.hash), row = /^#row-(\d+)$/.exec(location.hash);
    if (latent && +latent[1] < M.n) M.open(+latent[1]);
    else if (M.opened >= 0) M.open(-1);
    if (row && D.row_number && M.takeApart) {
      const at = [...D.apart_row].findIndex(r => D.row_number[r] === +row[1]);
      if (at >= 0) { M.takeApart(at); document.querySelector("#apart").scrollIntoView(); }
    }
  };
  addEventListener("hashchange", route);
  route();
  root.dataset.ready = (performance.now() - begin).toFixed(0);
})();
