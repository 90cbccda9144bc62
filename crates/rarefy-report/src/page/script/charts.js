// Values under the pointer, and the penalty for another rho.

function hoverCharts() {
  for (const chart of document.querySelectorAll("svg.chart[data-points]")) {
    const { x, places, names, values, x_name } = JSON.parse(chart.dataset.points);
    const line = svg("line", { class: "pointer", y1: 28, y2: 0, x1: -9, x2: -9 });
    const [, , , height] = chart.getAttribute("viewBox").split(" ").map(Number);
    line.setAttribute("y2", height - 44);
    chart.append(line);
    const said = make("p", { class: "said" }, " ");
    chart.after(said);
    const show = event => {
      const box = chart.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * 640;
      let best = 0;
      places.forEach((place, i) => { if (Math.abs(place - at) < Math.abs(places[best] - at)) best = i; });
      line.setAttribute("x1", places[best]); line.setAttribute("x2", places[best]);
      said.textContent = `${x_name} ${x[best]}: ` + names.map((name, s) => `${name} ${values[s][best] == null ? "–" : short(values[s][best])}`).join(", ");
    };
    chart.addEventListener("pointermove", show);
  }
}

/// The slider of rho on the chart of the penalty.
function penaltySlider(M) {
  const chart = document.querySelector("svg.penalty"), slider = document.querySelector("#rho");
  if (!chart || !slider) return;
  const { low, high, logarithmic, left, right, top, bottom, most } = JSON.parse(chart.dataset.axes);
  const x = q => { const share = logarithmic ? Math.log(Math.max(q, low) / low) / Math.log(high / low) : (q - low) / (high - low); return left + share * (right - left); };
  const y = v => bottom - Math.max(0, Math.min(1, v / most)) * (bottom - top);
  const penalty = (rho, q) => rho * Math.log(rho / q) + (1 - rho) * Math.log((1 - rho) / (1 - q));
  const said = document.querySelector("#rho-said");
  const draw = () => {
    const rho = 10 ** +slider.value;
    let path = "";
    for (let at = 0; at <= 600; at++) {
      const share = at / 600, q = logarithmic ? low * (high / low) ** share : low + share * (high - low);
      const value = q > 0 && q < 1 ? penalty(rho, q) : Infinity;
      if (value <= most) path += `${path ? "L" : "M"}${x(q).toFixed(1)} ${y(value).toFixed(1)}`;
    }
    chart.querySelector(".curve").setAttribute("d", path);
    const means = M.D.mean;
    let sum = 0;
    chart.querySelectorAll(".mark").forEach((mark, l) => mark.setAttribute("cy", y(penalty(rho, means[l]))));
    means.forEach(q => { sum += penalty(rho, q); });
    const target = chart.querySelector(".target"), dot = chart.querySelector(".minimum");
    target.setAttribute("x1", x(rho)); target.setAttribute("x2", x(rho)); dot.setAttribute("cx", x(rho));
    chart.querySelectorAll(".note").forEach(note => { note.textContent = ""; });
    said.textContent = `ρ = ${short(rho)}: Ω of these latents is ${short(sum)} nats`;
  };
  slider.addEventListener("input", draw);
}
