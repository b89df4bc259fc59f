"use strict";
/* One step at a time; frames take each other's place, a transcript scrolls and has its memory beside it. */
(() => {
  const { $, $$ } = memgym;
  const steps = $$("#replay > li");
  const [range, at, play] = [$("#step"), $("#at"), $("#play")];
  const isFrames = $("#replay").classList.contains("frames");
  const changes = steps.map((step) => JSON.parse(step.dataset.bank || "{}"));
  let timer = 0;
  range.max = steps.length - 1;

  function show(index, moves = true) {
    const now = Math.max(0, Math.min(steps.length - 1, index));
    range.value = now;
    at.textContent = `${now + 1} of ${steps.length}`;
    steps.forEach((step, i) => {
      if (isFrames) step.hidden = i !== now;
      step.classList.toggle("now", i === now);
    });
    if (!isFrames) remember(now);
    if (!isFrames && moves) steps[now].scrollIntoView({ block: "nearest" });
    if (now === steps.length - 1) stop();
  }

  /* What the bank holds after a step; what the step itself wrote is marked. */
  function remember(now) {
    const held = new Map();
    for (const change of changes.slice(0, now + 1))
      for (const [id, text] of Object.entries(change))
        if (text === null) held.delete(id); else held.set(id, text);
    $("#after").textContent = now + 1;
    $("#bank").replaceChildren(...[...held].map(([id, text]) => {
      const [row, name] = [document.createElement("li"), document.createElement("b")];
      name.textContent = id;
      row.append(name, ` ${text}`);
      row.classList.toggle("new", id in changes[now]);
      return row;
    }));
  }

  function stop() { clearInterval(timer); timer = 0; play.textContent = "Play"; }

  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (Number(range.value) === steps.length - 1) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => show(Number(range.value) + 1), 400);
  });
  $("#back").addEventListener("click", () => show(Number(range.value) - 1));
  $("#next").addEventListener("click", () => show(Number(range.value) + 1));
  range.addEventListener("input", () => show(Number(range.value)));
  if (steps.length) show(0, false);
})();
