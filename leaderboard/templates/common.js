"use strict";
/* Sorting and the theme, on every page. Without it, every table is still there. */
const memgym = (() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  /* ---- sorting ---- */
  function valueOf(row, column) {
    const cell = row.cells[column];
    const raw = cell.dataset.v;
    if (raw !== undefined) return Number(raw);
    return cell.classList.contains("n") ? null : cell.textContent.trim().toLowerCase();
  }

  /* What does not exist comes last in either direction. */
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en"));
  }

  function sort(header, order) {
    const table = header.closest("table");
    for (const other of $$("thead th", table)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const column = header.cellIndex;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), sign));
    table.tBodies[0].append(...rows);
  }

  function toggle(header) {
    const falls = header.classList.contains("n") && header.textContent !== "#";
    const [first, second] = falls ? ["descending", "ascending"] : ["ascending", "descending"];
    sort(header, header.getAttribute("aria-sort") === first ? second : first);
  }

  for (const button of $$("thead button")) {
    button.addEventListener("click", () => {
      const header = button.closest("th");
      toggle(header);
      header.dispatchEvent(new Event("sorted", { bubbles: true }));
    });
  }

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
  const data = $("#data") ? JSON.parse($("#data").textContent) : {};

  /* ---- SVG ---- */
  function make(name, attributes, parent, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }

  /* Draws now and whenever the width changes. */
  function drawn(figure, draw) {
    let width = figure.clientWidth;
    new ResizeObserver(() => {
      if (figure.clientWidth !== width) { width = figure.clientWidth; draw(); }
    }).observe(figure);
    draw();
  }

  return { $, $$, data, drawn, make, sort };
})();
