// Charts from the numbers in the page, the pause button, and what was unfolded stays so when the page comes again.
"use strict";

(() => {
  let paused = false;
  let unfolded = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

  function draw(place) {
    const curve = JSON.parse(place.dataset.curve);
    const lines = JSON.parse(place.dataset.lines);
    const unit = place.dataset.unit;
    const colours = ["--accent", "--second", "--third"].map(colour);
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--edge"), width: 1 }, ticks: { show: false } };
    const said = (_, value) => (value == null ? "–" : `${Number(value.toPrecision(3))}${unit ? ` ${unit}` : ""}`);
    new uPlot(
      {
        width: place.clientWidth,
        height: Number(place.dataset.height),
        padding: [8, 30, 0, 0],
        cursor: { y: false },
        scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [{ ...axis, size: 28, space: 70, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => said(_, tick)) }],
        series: [
          { label: "Time", value: (_, at) => (at == null ? "–" : clock(at)) },
          ...lines.map(([, label], at) => ({
            label,
            stroke: colours[at % 3],
            width: 1.5,
            dash: at === 2 ? [4, 3] : undefined,
            spanGaps: false,
            points: { show: curve.at.length < 30, size: 4 },
            value: said,
          })),
        ],
      },
      [curve.at, ...lines.map(([name]) => curve[name])],
      place,
    );
  }

  function drawAll() {
    for (const place of document.querySelectorAll(".chart")) {
      place.replaceChildren();
      draw(place);
    }
    document.documentElement.dataset.drawn = String(1 + Number(document.documentElement.dataset.drawn ?? 0));
  }

  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (paused || document.hidden) event.preventDefault();
  });
  document.body.addEventListener("htmx:beforeSwap", () => {
    unfolded = new Map([...document.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    for (const each of document.querySelectorAll("details[id]")) {
      each.open = unfolded?.get(each.id) ?? false;
    }
    drawAll();
  });
  const button = document.getElementById("pause");
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause";
  });
  window.addEventListener("resize", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
})();
