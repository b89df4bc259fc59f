"use strict";
/* The switcher, sorting, search, theme and chart of the page. Without it, every table is still there. */
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const data = JSON.parse($("#data").textContent);
  const figure = $("#chart figure");

  /* ---- views ---- */
  const links = $$("#views a");
  let current = "overview";

  function show(view) {
    current = view;
    for (const link of links) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    for (const section of $$(".view")) section.hidden = section.dataset.view !== view;
    const heats = $$(".heat");
    for (const heat of heats) heat.hidden = view !== "overview" && heat.dataset.view !== view;
    const types = $("#types");
    if (types) types.hidden = heats.every((heat) => heat.hidden);
    if (view !== "overview") $("#chart-task").value = view;
    drawChart();
    filter();
  }

  function fromAddress() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (links.some((link) => link.dataset.view === id)) show(id);
    const card = id && document.getElementById(id);
    if (card && card.tagName === "DETAILS") card.open = true;
  }

  function remember(id) {
    try { history.replaceState(null, "", `#${id}`); } catch { /* some browsers forbid it on a disk */ }
  }

  for (const link of links) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      show(link.dataset.view);
      remember(link.dataset.view);
    });
  }
  window.addEventListener("hashchange", fromAddress);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-card]");
    const card = link && document.getElementById(link.getAttribute("href").slice(1));
    if (card) card.open = true;
  });

  /* ---- sorting ---- */
  function valueOf(row, column) {
    const cell = row.cells[column];
    const raw = cell.dataset.v;
    if (raw !== undefined) return Number.isNaN(Number(raw)) ? raw : Number(raw);
    return cell.classList.contains("n") ? null : cell.textContent.trim().toLowerCase();
  }

  /* What does not exist comes last in either direction. */
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en"));
  }

  function sort(header) {
    const table = header.closest("table");
    const isNumber = header.classList.contains("n") && header.textContent !== "#";
    const first = isNumber ? "descending" : "ascending";
    const second = isNumber ? "ascending" : "descending";
    const order = header.getAttribute("aria-sort") === first ? second : first;
    for (const other of $$("thead th", table)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const column = header.cellIndex;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), sign));
    table.tBodies[0].append(...rows);
  }

  for (const button of $$(".view thead button")) button.addEventListener("click", () => sort(button.closest("th")));

  /* ---- search and setting ---- */
  function filter() {
    const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const setting = $("#setting").value;
    for (const table of $$(".view table")) {
      const rows = [...table.tBodies[0].rows];
      const eligible = rows.filter((row) => !setting || row.dataset.setting === setting);
      for (const row of rows) {
        row.hidden = !eligible.includes(row) || !words.every((word) => row.dataset.text.includes(word));
      }
      rankAmong(eligible);
    }
    const shown = $$(`.view[data-view="${current}"] tbody tr`);
    const left = shown.filter((row) => !row.hidden).length;
    $("#found").textContent = words.length || setting ? `${left} of ${shown.length} agents shown` : "";
  }

  /* Places within one setting: the search hides rows, but only the setting ranks again. */
  function rankAmong(rows) {
    const places = rows.map((row) => Number(row.dataset.place)).filter(Boolean);
    for (const row of rows) {
      const place = Number(row.dataset.place);
      if (!place) continue;
      const among = 1 + places.filter((other) => other < place).length;
      row.cells[0].textContent = among;
      row.cells[0].dataset.v = among;
    }
  }

  $("#search").addEventListener("input", filter);
  $("#setting").addEventListener("change", filter);

  /* ---- chart ---- */
  const select = $("#chart-task");
  for (const task of data.tasks) select.append(new Option(task.title, task.id));
  const fullest = data.tasks.reduce((a, b) => (b.points.length > a.points.length ? b : a));
  select.value = fullest.id;

  function drawChart() {
    const task = data.tasks.find((one) => one.id === select.value);
    if (task) memgymChart.draw(figure, task);
  }

  select.addEventListener("change", drawChart);
  let width = 0;
  new ResizeObserver(() => {
    if (figure.clientWidth !== width) { width = figure.clientWidth; drawChart(); }
  }).observe(figure);

  /* ---- theme ---- */
  const theme = $("#theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try { return localStorage.getItem("memgym-theme"); } catch { return null; }
  }

  function paint(name) {
    if (name) document.documentElement.dataset.theme = name;
    const isDark = (name || (dark.matches ? "dark" : "light")) === "dark";
    theme.textContent = isDark ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Switch to the ${isDark ? "light" : "dark"} theme`);
    theme.dataset.next = isDark ? "light" : "dark";
  }

  theme.addEventListener("click", () => {
    const next = theme.dataset.next;
    paint(next);
    try { localStorage.setItem("memgym-theme", next); } catch { /* it lasts until the page is closed */ }
  });
  dark.addEventListener("change", () => paint(stored()));
  paint(["light", "dark"].includes(stored()) ? stored() : null);

  for (const node of [theme, ...$$(".needs-script")]) node.hidden = false;
  for (const node of $$(".no-script")) node.hidden = true;
  show("overview");
  fromAddress();
})();
