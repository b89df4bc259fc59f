"use strict";
/* Score against bytes of memory: one SVG, drawn anew for each task and width. */
const memgymChart = (() => {
  const { make } = memgym;
  const KINDS = ["reference", "scripted", "rl", "llm", "hybrid"];
  const SHAPES = {
    reference: "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    scripted: "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0 -11 0",
    rl: "M-5 -5H5V5H-5Z",
    llm: "M0 -6.5L6 4.5H-6Z",
    hybrid: "M0 -7L6 0L0 7L-6 0Z",
  };
  const HEIGHT = 420;
  const MARGIN = { top: 22, right: 24, bottom: 46, left: 46 };

  function byteText(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
    return `${value} ${units[unit]}`;
  }

  /* x: zero bytes has a place of its own left of the logarithmic part. */
  function scaleX(points, left, right) {
    const positive = points.map((p) => p.bytes).filter((b) => b > 0);
    const hasZero = positive.length < points.length;
    const known = positive.length ? positive : [1024];
    const low = Math.floor(Math.log2(Math.min(...known)) - 0.5);
    const high = Math.max(low + 4, Math.ceil(Math.log2(Math.max(...known)) + 0.5));
    const start = hasZero ? left + 64 : left;
    const at = (bytes) => (bytes > 0
      ? start + ((Math.log2(bytes) - low) / (high - low)) * (right - start)
      : left + 14);
    const every = Math.max(1, Math.ceil((high - low) / Math.max(2, (right - start) / 84)));
    const ticks = [];
    for (let power = Math.max(0, low); power <= high; power += 1) if (power % every === 0) ticks.push(2 ** power);
    if (hasZero && at(ticks[0]) - at(0) < 48) ticks.shift(); /* its label would touch that of zero */
    return { at, ticks, hasZero, start };
  }

  const overlaps = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

  /* Tries places around the point, nearest first, and takes the first that is free. */
  function placeLabel(at, size, taken, frame) {
    const fits = (box) => box.x >= frame.x && box.y >= frame.y && box.x + box.w <= frame.x + frame.w
      && box.y + box.h <= frame.y + frame.h && !taken.some((other) => overlaps(box, other));
    for (let distance = 11; distance < 190; distance += 7) {
      for (const angle of [0, 180, -30, 30, -150, 150, -60, 60, -120, 120, -90, 90]) {
        const dx = Math.cos((angle * Math.PI) / 180) * distance;
        const dy = Math.sin((angle * Math.PI) / 180) * distance;
        const x = Math.abs(dx) < 4 ? at.x - size.w / 2 : at.x + dx - (dx < 0 ? size.w : 0);
        const box = { x, y: at.y + dy - size.h / 2, ...size };
        if (fits(box)) return { box, distance };
      }
    }
    return null;
  }

  function frontPath(points, right) {
    const front = points.filter((p) => p.front).sort((a, b) => a.x - b.x);
    if (!front.length) return "";
    return front.map((p, i) => (i ? `H${p.x}V${p.y}` : `M${p.x} ${p.y}`)).join("") + `H${right}`;
  }

  /* The same line as thin boxes, so that no label lies on it. */
  function frontBoxes(points, right) {
    const front = points.filter((p) => p.front).sort((a, b) => a.x - b.x);
    return front.flatMap((p, i) => {
      const next = front[i + 1];
      const flat = { x: p.x, y: p.y - 2, w: (next ? next.x : right) - p.x, h: 4 };
      return next ? [flat, { x: next.x - 2, y: next.y, w: 4, h: p.y - next.y }] : [flat];
    });
  }

  function tipText(p) {
    const ends = p.low === null ? "one run" : `${p.low.toFixed(2)} to ${p.high.toFixed(2)}`;
    return `${p.name}\n${p.kind}, ${p.setting}\nscore ${p.score.toFixed(2)} (${ends})\nmemory ${p.memory}`;
  }

  function showTip(figure, p) {
    hideTip(figure);
    const tip = document.createElement("div");
    tip.id = "tip";
    tip.textContent = tipText(p);
    figure.append(tip);
    const box = figure.getBoundingClientRect();
    const plot = figure.querySelector("svg").getBoundingClientRect();
    const x = plot.left - box.left + p.x;
    const y = plot.top - box.top + p.y;
    tip.style.left = `${Math.max(8, Math.min(x + 14, box.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${y > tip.offsetHeight + 24 ? y - tip.offsetHeight - 14 : y + 16}px`;
  }

  function hideTip(figure) {
    const tip = figure.querySelector("#tip");
    if (tip) tip.remove();
  }

  function axes(svg, task, x, y, left, right, bottom) {
    for (let value = 0; value <= 10; value += 2) {
      make("path", { class: "grid", d: `M${left} ${y(value / 10)}H${right}` }, svg);
      make("text", { class: "axis", x: left - 10, y: y(value / 10) + 4, "text-anchor": "end" }, svg, (value / 10).toFixed(1));
    }
    for (const tick of x.ticks) {
      make("path", { class: "grid", d: `M${x.at(tick)} ${y(1)}V${bottom}` }, svg);
      make("text", { class: "axis", x: x.at(tick), y: bottom + 19, "text-anchor": "middle" }, svg, byteText(tick));
    }
    if (x.hasZero) make("text", { class: "axis", x: x.at(0), y: bottom + 19, "text-anchor": "middle" }, svg, "0 B");
    make("text", { class: "axis", x: (left + right) / 2, y: bottom + 39, "text-anchor": "middle" }, svg, "bytes of memory");
    make("text", { class: "axis", x: 2, y: 11 }, svg, "score");
  }

  /* The two lines of the scale; returns the boxes of their labels, which other labels keep clear of. */
  function references(svg, task, y, right) {
    const boxes = [];
    for (const [name, value] of [["random", task.floor], ["oracle", task.ceiling]]) {
      if (value === null) continue;
      make("path", { class: "reference", d: `M${MARGIN.left} ${y(value)}H${right}` }, svg);
      const text = make("text", { class: "axis", x: right, y: y(value) - 5, "text-anchor": "end" }, svg, `${name} ${value.toFixed(2)}`);
      const w = text.getComputedTextLength();
      boxes.push({ x: right - w - 4, y: y(value) - 18, w: w + 4, h: 22 });
      boxes.push({ x: MARGIN.left, y: y(value) - 1, w: right - MARGIN.left, h: 2 });
    }
    return boxes;
  }

  function draw(figure, task, root) {
    const host = figure.querySelector("#plot");
    const width = Math.max(280, host.clientWidth);
    const right = width - MARGIN.right;
    const bottom = HEIGHT - MARGIN.bottom;
    const y = (value) => bottom - Math.max(0, Math.min(1, value)) * (bottom - MARGIN.top);
    const x = scaleX(task.points, MARGIN.left, right);
    const svg = make("svg", {
      viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "group",
      "aria-label": `${task.title}: score against bytes of memory of ${task.points.length} agents`,
    });
    host.replaceChildren(svg);
    axes(svg, task, x, y, MARGIN.left, right, bottom);
    const taken = references(svg, task, y, right);
    const points = task.points.map((p) => ({ ...p, x: x.at(p.bytes), y: y(p.score) }));
    make("path", { class: "front", d: frontPath(points, right) }, svg);
    taken.push(...frontBoxes(points, right));
    for (const p of points) {
      const low = p.low === null ? p.y : y(p.low);
      const high = p.high === null ? p.y : y(p.high);
      taken.push({ x: p.x - 8, y: p.y - 8, w: 16, h: 16 }, { x: p.x - 2, y: high, w: 4, h: low - high });
      p.low_y = low;
      p.high_y = high;
    }
    const frame = { x: MARGIN.left + 2, y: 4, w: right - MARGIN.left - 2, h: bottom - 6 };
    for (const p of points) point(svg, figure, p, taken, frame, root);
    legend(figure.querySelector("#legend"), task.points);
  }

  function point(svg, figure, p, taken, frame, root) {
    const link = make("a", { href: `${root}agents/${p.card}.html`, class: `k-${p.kind}`, "aria-label": tipText(p).replaceAll("\n", ", ") }, svg);
    make("path", { class: "whisker", d: `M${p.x} ${p.low_y}V${p.high_y}` }, link);
    const label = make("text", { class: "label" }, link, p.name);
    const size = { w: label.getComputedTextLength() + 2, h: 16 };
    const place = placeLabel(p, size, taken, frame);
    if (place) {
      const { box, distance } = place;
      taken.push(box);
      label.setAttribute("x", box.x + 1);
      label.setAttribute("y", box.y + 12);
      if (distance > 24) {
        const end = { x: Math.max(box.x, Math.min(p.x, box.x + box.w)), y: Math.max(box.y, Math.min(p.y, box.y + box.h)) };
        link.prepend(make("path", { class: "leader", d: `M${p.x} ${p.y}L${end.x} ${end.y}` }));
      }
    } else {
      label.remove(); /* a crowded chart: the name stays in the tooltip and the table */
    }
    make("path", { class: "mark", d: SHAPES[p.kind], transform: `translate(${p.x} ${p.y})` }, link);
    for (const event of ["pointerenter", "focus"]) link.addEventListener(event, () => showTip(figure, p));
    for (const event of ["pointerleave", "blur"]) link.addEventListener(event, () => hideTip(figure));
  }

  function legend(host, points) {
    host.replaceChildren();
    for (const kind of KINDS.filter((k) => points.some((p) => p.kind === k))) {
      const entry = document.createElement("span");
      entry.className = `k-${kind}`;
      const icon = make("svg", { viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" });
      make("path", { d: SHAPES[kind] }, icon);
      entry.append(icon, kind);
      host.append(entry);
    }
  }

  return { draw };
})();
