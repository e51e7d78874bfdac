"use strict";
// Draws every element with data-chart from the JSON block. Text reaches the page as text only.
const REPORT = JSON.parse(document.getElementById("report-data").textContent);

(() => {
  const COLOURS = 8;
  const colour = (index) => `var(--s${(index % COLOURS) + 1})`;
  const writers = {
    percent: (value) => `${(100 * value).toFixed(1)} %`,
    number: (value) => (Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(4)).toString()),
  };
  const ticks = { percent: (value) => `${Math.round(1000 * value) / 10}%`, number: undefined };

  function draw(area) {
    const chart = REPORT.charts[area.dataset.chart];
    const width = Math.max(240, Math.round(area.clientWidth));
    const svg = chart.stacked ? stacked(chart, width) : lines(chart, width);
    for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    svg.setAttribute("role", "img");
    area.replaceChildren(...(chart.stacked || hasLegend(chart) ? [legend(chart)] : []), svg);
  }

  const hasLegend = (chart) => new Set(chart.series.map((series) => series.run + series.name)).size > 1;
  const colourOf = (chart, series) =>
    chart.stacked ? chart.series.map((s) => s.name).filter((n, i, all) => all.indexOf(n) === i).indexOf(series.name)
      : REPORT.runs.length > 1 ? REPORT.runs.indexOf(series.run) : 0;

  function rows(chart, series) {
    return series.points.map((point) => ({ ...point, run: series.run, name: series.name, colour: colour(colourOf(chart, series)) }));
  }

  function lines(chart, width) {
    const write = writers[chart.format] || writers.number;
    const drawn = chart.series.filter((series) => !series.dots).map((series) => rows(chart, series));
    const joined = chart.series.filter((series) => series.joined).map((series) => rows(chart, series));
    const dots = chart.series.filter((series) => series.dots).flatMap((series) => rows(chart, series));
    const all = [...drawn.flat(), ...dots];
    const title = (d) => `step ${d.x.toLocaleString("en")}\n${d.run}, ${d.name}: ${write(d.y)}` +
      (d.low === null ? "" : `\n95 % interval ${write(d.low)} to ${write(d.high)}`);
    const smooth = (points) => Math.max(1, Math.round(points.length / 25));
    return Plot.plot({
      className: "plot", width, color: { type: "identity" }, height: 220, marginLeft: 52, marginRight: 14, marginBottom: 34,
      ariaLabel: `${chart.title} by ${chart.x_label}; the numbers are in the table below the chart`,
      x: { label: chart.x_label, labelAnchor: "right", labelArrow: "none", ticks: Math.max(3, Math.round(width / 90)) },
      y: { label: null, grid: true, ticks: 5, tickFormat: ticks[chart.format], ...range(chart, all) },
      marks: [
        Plot.ruleX(chart.events, { x: "step", stroke: "var(--event)", strokeDasharray: "3,3", strokeOpacity: 0.8 }),
        ...drawn.flatMap((points) => smooth(points) > 1
          ? [Plot.lineY(points, { x: "x", y: "y", stroke: "colour", strokeOpacity: 0.28, strokeWidth: 1 }),
             Plot.lineY(points, Plot.windowY({ k: smooth(points), anchor: "middle", strict: false }, { x: "x", y: "y", stroke: "colour", strokeWidth: 2 }))]
          : [Plot.lineY(points, { x: "x", y: "y", stroke: "colour", strokeWidth: 2, marker: points.length < 30 ? "dot" : undefined })]),
        ...joined.map((points) => Plot.lineY(points, { x: "x", y: "y", stroke: "colour", strokeWidth: 2 })),
        Plot.ruleX(dots, { x: "x", y1: "low", y2: "high", stroke: "colour", strokeWidth: 1.5 }),
        Plot.dot(dots, { x: "x", y: "y", fill: "colour", stroke: "var(--paper)", r: 5 }),
        Plot.tip(all, Plot.pointer({ x: "x", y: "y", title })),
        Plot.tip(chart.events, Plot.pointerX({ x: "step", frameAnchor: "top", maxRadius: 8, title: (d) => `step ${d.step} · ${d.name}\n${d.message}`.trim() })),
      ],
    });
  }

  // Shares and parts of the reward are drawn against their whole range: a flat line looks flat.
  function range(chart, all) {
    const low = Math.min(...all.map((d) => d.low ?? d.y)), high = Math.max(...all.map((d) => d.high ?? d.y));
    if (chart.id.startsWith("reward-") && low >= 0 && high <= 1) return { domain: [0, 1] };
    if (low === high) return { domain: low > 0 ? [0, 2 * low] : low < 0 ? [2 * low, 0] : [0, 1] };
    return { zero: chart.format === "percent" || ["length", "reward"].includes(chart.id), nice: true };
  }

  function stacked(chart, width) {
    const all = chart.series.flatMap((series) => rows(chart, series));
    const steps = new Set(all.map((d) => d.x)).size;
    const several = new Set(all.map((d) => d.run)).size > 1;
    return Plot.plot({
      className: "plot", width, color: { type: "identity" }, height: several ? 190 * REPORT.runs.length : 250, marginLeft: 52, marginRight: several ? 110 : 14, marginBottom: 34,
      ariaLabel: `${chart.title} by ${chart.x_label}, stacked; the numbers are in the table below the chart`,
      x: { type: "band", label: chart.x_label, labelAnchor: "right", labelArrow: "none", padding: steps > 40 ? 0 : 0.15, tickFormat: (x) => x.toLocaleString("en"), ticks: thinned(all, width) },
      y: { label: null, grid: true, tickFormat: ticks[chart.format], ticks: 5 },
      fy: several ? { label: null } : undefined,
      marks: [
        Plot.barY(all, { x: "x", y: "y", fy: several ? "run" : undefined, fill: "colour", order: null, tip: { format: { fill: false, y: false, x: false } },
          channels: { step: "x", kind: "name", share: (d) => (writers[chart.format] || writers.number)(d.y) } }),
        Plot.ruleY([0]),
      ],
    });
  }

  function thinned(all, width) {
    const steps = [...new Set(all.map((d) => d.x))].sort((a, b) => a - b);
    const every = Math.max(1, Math.ceil(steps.length / Math.max(3, Math.round(width / 80))));
    return steps.filter((_, index) => index % every === 0);
  }

  function label(chart, series) {
    const names = new Set(chart.series.map((each) => each.name));
    if (chart.stacked || REPORT.runs.length === 1) return series.name;
    return names.size === 1 ? series.run : `${series.run}, ${series.name}`;
  }

  function legend(chart) {
    const list = document.createElement("ul");
    list.className = "legend";
    const seen = new Set();
    for (const series of chart.series) {
      const text = label(chart, series);
      if (seen.has(text)) continue;
      seen.add(text);
      const item = document.createElement("li");
      item.append(swatch(colourOf(chart, series), chart.stacked ? "square" : series.dots ? "dot" : "line"), text);
      list.append(item);
    }
    return list;
  }

  const shapes = { square: ["rect", { width: 10, height: 10 }], dot: ["circle", { cx: 5, cy: 5, r: 4 }], line: ["rect", { y: 4, width: 10, height: 2.5 }] };

  function swatch(index, kind) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 10 10");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("class", `c${(index % COLOURS) + 1}`);
    const [tag, attributes] = shapes[kind];
    const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries({ ...attributes, fill: "currentColor" })) shape.setAttribute(key, value);
    svg.append(shape);
    return svg;
  }

  const widths = new WeakMap();
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (widths.get(target) === target.clientWidth) continue;
      widths.set(target, target.clientWidth);
      draw(target);
    }
  });
  for (const area of document.querySelectorAll("[data-chart]")) observer.observe(area);
})();
