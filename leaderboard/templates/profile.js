"use strict";
/* Performance profiles: the fraction of runs that score more than a value. */
const memgymProfile = (() => {
  const { make } = memgym;
  const HEIGHT = 340;
  const MARGIN = { top: 14, right: 16, bottom: 44, left: 46 };
  const SHOWN = 8;
  const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
  let draws = null;

  function draw(figure, set, kinds) {
    const host = figure.querySelector("#profile-plot");
    const width = Math.max(280, figure.clientWidth - 30);
    const [right, bottom] = [width - MARGIN.right, HEIGHT - MARGIN.bottom];
    const x = (value) => MARGIN.left + value * (right - MARGIN.left);
    const y = (value) => bottom - value * (bottom - MARGIN.top);
    host.replaceChildren();
    const svg = make("svg", { width, height: HEIGHT, role: "img", "aria-label": `Performance profiles, ${set.title}. The curves' values are in results.json.` }, host);
    for (let tenth = 0; tenth <= 10; tenth += 2) {
      const value = tenth / 10;
      make("path", { class: "grid", d: `M${MARGIN.left} ${y(value)}H${right}M${x(value)} ${MARGIN.top}V${bottom}` }, svg);
      make("text", { class: "axis", x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, svg, value.toFixed(1));
      make("text", { class: "axis", x: x(value), y: bottom + 18, "text-anchor": "middle" }, svg, value.toFixed(1));
    }
    make("text", { class: "axis", x: (MARGIN.left + right) / 2, y: bottom + 37, "text-anchor": "middle" }, svg, "normalised score");
    const band = make("path", { class: "band" }, svg);
    const lines = make("g", {}, svg);
    const legend = figure.querySelector("#profile-legend");
    draws = (focus) => {
      lines.replaceChildren();
      legend.replaceChildren();
      band.setAttribute("d", "");
      const names = set.agents.slice(0, SHOWN).map((one) => one.name);
      const chosen = set.agents.filter((one) => names.includes(one.name) || one.name === focus);
      chosen.forEach((one, i) => {
        const at = (k) => x(k / (one.values.length - 1));
        const path = one.values.map((value, k) => `${k ? "L" : "M"}${at(k).toFixed(1)} ${y(value / 1000).toFixed(1)}`).join("");
        const style = { class: `k-${kinds[one.name]} ${focus === one.name ? "lit" : focus ? "dim" : ""}`, d: path, "stroke-dasharray": DASHES[i % DASHES.length] };
        make("path", style, lines);
        if (focus === one.name) {
          const up = one.high.map((value, k) => `${k ? "L" : "M"}${at(k)} ${y(value / 1000)}`).join("");
          const down = one.low.map((value, k) => `L${at(k)} ${y(value / 1000)}`).reverse().join("");
          band.setAttribute("d", `${up}${down}Z`);
          band.setAttribute("class", `band k-${kinds[one.name]}`);
        }
        const button = document.createElement("button");
        button.type = "button";
        button.className = `k-${kinds[one.name]}`;
        const icon = make("svg", { width: 26, height: 8, "aria-hidden": "true" });
        make("path", { d: "M0 4H26", "stroke-dasharray": DASHES[i % DASHES.length] }, icon);
        button.append(icon, one.name);
        button.setAttribute("aria-pressed", String(focus === one.name));
        button.addEventListener("click", () => { draws(focus === one.name ? null : one.name); });
        legend.append(button);
      });
    };
    draws(null);
  }

  return { draw, light: (figure, name) => { if (draws) draws(name); } };
})();
