"use strict";
/* The index: search, filters, columns and the address that brings them back; which charts are drawn. */
(() => {
  const { $, $$, data, drawn, sort } = memgym;
  const table = $("#agents");
  const rows = [...table.tBodies[0].rows];
  const heads = $$("thead th", table);
  const fields = { q: $("#search"), track: $("#track"), setting: $("#setting"), kind: $("#kind"), chart: $("#chart-task"), profile: $("#profile-set") };
  const boxes = $$("#columns input");
  const usual = boxes.map((box) => box.checked);

  /* ---- what is shown ---- */
  function filter() {
    const words = fields.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (row, name) => !fields[name].value || row.dataset[name] === fields[name].value;
    const eligible = rows.filter((row) => has(row, "setting") && has(row, "kind")
      && (!fields.track.value || row.dataset.tracks.split(" ").includes(fields.track.value)));
    const shown = new Set();
    for (const row of rows) {
      row.hidden = !eligible.includes(row) || !words.every((word) => row.dataset.text.includes(word));
      if (!row.hidden) shown.add(row.dataset.name);
    }
    for (const row of $$("#map tbody tr")) row.hidden = !shown.has(row.dataset.name);
    const isFiltered = words.length || fields.track.value || fields.setting.value || fields.kind.value;
    $("#found").textContent = isFiltered ? `${shown.size} of ${rows.length} agents shown; ranks are among all` : "";
  }

  function arrange() {
    const hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
    for (const cell of $$("[data-c]", table)) cell.hidden = hidden.has(cell.dataset.c);
  }

  /* ---- the address ---- */
  function remember() {
    const state = new URLSearchParams();
    for (const [name, field] of Object.entries(fields)) if (field.value && field.value !== field.dataset.usual) state.set(name, field.value);
    if (boxes.some((box, i) => box.checked !== usual[i])) state.set("columns", boxes.filter((box) => box.checked).map((box) => box.value).join(","));
    const sorted = heads.find((head) => head.hasAttribute("aria-sort"));
    if (sorted) state.set("sort", `${sorted.cellIndex},${sorted.getAttribute("aria-sort")}`);
    try { history.replaceState(null, "", `#${state}`); } catch { /* some browsers forbid it on a disk */ }
  }

  function restore() {
    const hash = location.hash.slice(1);
    if (hash && document.getElementById(hash)) return; /* a place on the page */
    const state = new URLSearchParams(hash);
    for (const [name, field] of Object.entries(fields)) {
      const value = state.get(name) ?? field.dataset.usual;
      if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) field.value = value;
    }
    const columns = state.get("columns");
    boxes.forEach((box, i) => { box.checked = columns === null ? usual[i] : columns.split(",").includes(box.value); });
    const [column, order] = (state.get("sort") || "").split(",");
    if (heads[column] && ["ascending", "descending"].includes(order)) sort(heads[column], order);
    arrange();
    filter();
  }

  /* ---- charts ---- */
  for (const task of data.tasks) fields.chart.append(new Option(task.title, task.id));
  for (const set of data.sets) fields.profile.append(new Option(set.title, set.id));
  for (const field of Object.values(fields)) field.dataset.usual = field.value;
  const drawChart = () => {
    const task = data.tasks.find((one) => one.id === fields.chart.value);
    if (task) memgymChart.draw($("#chart figure"), task, data.root);
  };
  const drawProfile = () => {
    const set = data.sets.find((one) => one.id === fields.profile.value);
    if (set) memgymProfile.draw($("#profiles figure"), set, data.kinds);
  };

  for (const name of ["q", "track", "setting", "kind"]) fields[name].addEventListener("input", () => { filter(); remember(); });
  for (const box of boxes) box.addEventListener("change", () => { arrange(); remember(); });
  table.addEventListener("sorted", remember);
  fields.chart.addEventListener("change", () => { drawChart(); remember(); });
  fields.profile.addEventListener("change", () => { drawProfile(); remember(); });
  for (const row of rows) {
    const light = (name) => { memgymProfile.light($("#profiles figure"), name); };
    row.addEventListener("pointerenter", () => light(row.dataset.name));
    row.addEventListener("pointerleave", () => light(null));
  }
  window.addEventListener("hashchange", () => { restore(); drawChart(); drawProfile(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") $("#columns").open = false; });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#columns")) $("#columns").open = false; });
  $("#profiles").hidden = !data.sets.length;
  restore();
  if (data.tasks.length) drawn($("#chart figure"), drawChart);
  if (data.sets.length) drawn($("#profiles figure"), drawProfile);
})();
