"use strict";
/* Two agents: the paired difference, its test, and a line for each task. */
(() => {
  const { $, data } = memgym;
  if (!$("#set")) return;
  const [set, one, two] = ["#set", "#one", "#two"].map((id) => $(id));
  for (const each of data.sets) set.append(new Option(each.title, each.id));
  const current = () => data.sets.find((each) => each.id === set.value);
  const chance = (p) => (p < 1e-4 ? "< 0.0001" : `= ${Number(p.toPrecision(2))}`);
  const text = (value, digits = 3) => value.toFixed(digits).replace("-", "−");

  function fill() {
    for (const [select, start] of [[one, 0], [two, 1]]) {
      const before = select.value;
      select.replaceChildren(...current().agents.map((name) => new Option(name, name)));
      select.value = current().agents.includes(before) ? before : current().agents[start];
    }
  }

  function element(name, content, className) {
    const node = document.createElement(name);
    node.append(...[content].flat());
    if (className) node.className = className;
    return node;
  }

  function show() {
    const { agents, pairs, scores } = current();
    const [a, b] = [agents.indexOf(one.value), agents.indexOf(two.value)];
    const out = $("#verdict");
    out.replaceChildren();
    if (a === b) { out.append(element("p", "Choose two different agents.", "warning")); return; }
    const [first, second] = [Math.min(a, b), Math.max(a, b)];
    const [difference, error, p, holm, improvement] = pairs[first * agents.length - (first * (first + 1)) / 2 + second - first - 1];
    const sign = a < b ? 1 : -1;
    const wins = a < b ? improvement : 1 - improvement;
    const clear = holm <= 0.05;
    const better = sign * difference > 0 ? one.value : two.value;
    out.append(
      element("p", clear ? [element("b", element("bdi", better)), " is better: the difference is more than chance."] : "The two cannot be told apart on these runs.", clear ? "answer clear" : "answer"),
      element("p", `Difference ${text(sign * difference)} ± ${text(1.96 * error)} (95 %). Paired sign-flip test: p ${chance(p)}; after Holm's correction for ${pairs.length} pairs p ${chance(holm)}. Probability that the first beats the second on a random run: ${text(wins, 2)}.`),
    );
    const body = document.createElement("tbody");
    scores.forEach(({ title, values }) => {
      const change = values[a] - values[b];
      const row = element("tr", [element("th", title), element("td", text(values[a], 2), "n"), element("td", text(values[b], 2), "n"), element("td", text(change, 2), `n ${change > 0 ? "up" : change < 0 ? "down" : ""}`)]);
      row.cells[0].scope = "row";
      body.append(row);
    });
    const titles = ["Task", one.value, two.value, "Difference"].map((title, i) => {
      const head = element("th", element("bdi", title), i ? "n" : "");
      head.scope = "col";
      return head;
    });
    const table = element("table", [element("caption", "Normalised score on each task."), element("thead", element("tr", titles)), body]);
    const scroll = element("div", table, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Task by task");
    out.append(scroll);
    const state = new URLSearchParams({ set: set.value, one: one.value, two: two.value });
    try { history.replaceState(null, "", `#${state}`); } catch { /* some browsers forbid it on a disk */ }
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    if (data.sets.some((each) => each.id === state.get("set"))) set.value = state.get("set");
    fill();
    for (const [name, select] of [["one", one], ["two", two]]) if (current().agents.includes(state.get(name))) select.value = state.get(name);
    show();
  }

  set.addEventListener("change", () => { fill(); show(); });
  for (const select of [one, two]) select.addEventListener("change", show);
  window.addEventListener("hashchange", restore);
  restore();
})();
