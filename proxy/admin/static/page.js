"use strict";
// Plots, and the banner that says when the proxy no longer answers. The rest of the page is htmx.

(() => {
  const live = document.getElementById("live");
  const stale = document.getElementById("stale");
  let heard = Date.now();
  let span = "hour";
  let charts = [];
  let fading;

  document.body.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail?.ctx?.target;
    if (!target || target === live || target.id === "live") heard = Date.now();
    if (target && target.id === "notice") {
      live.dispatchEvent(new CustomEvent("refresh", { bubbles: true }));
      clearTimeout(fading);
      if (target.querySelector(".good")) fading = setTimeout(() => target.replaceChildren(), 10000);
    }
  });

  setInterval(() => {
    const silent = Date.now() - heard > 9000;
    stale.hidden = !silent;
    document.body.classList.toggle("is-stale", silent);
    if (silent) stale.querySelector("b").textContent = new Date(heard).toLocaleTimeString([], { hourCycle: "h23" });
  }, 1000);

  // a background tab is not refreshed by the browser: what it missed is no sign of trouble
  document.addEventListener("visibilitychange", () => { if (!document.hidden) heard = Date.now(); });

  const size = (bytes) => {
    if (bytes === null || bytes === undefined) return "";
    const units = ["B", "KB", "MB", "GB", "TB"];
    let unit = 0;
    while (bytes >= 999.5 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
    return `${bytes >= 9.95 || bytes === 0 ? bytes.toFixed(0) : bytes.toFixed(1)} ${units[unit]}`;
  };
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const line = (label, name, more = {}) => ({
    label, stroke: color(name), fill: color(name) + "22", width: 1.5, points: { show: false }, spanGaps: false, ...more,
  });

  const plots = [
    { id: "plot-data", columns: ["bytes_out", "bytes_in"], values: (v) => `${size(v)}/s`,
      series: () => [line("out", "--out"), line("in", "--in")] },
    { id: "plot-cache", columns: ["hit_ratio"], values: (v) => `${v} %`, range: [0, 100],
      series: () => [line("hits", "--hit", { points: { show: true, size: 4 }, spanGaps: true })] },
    { id: "plot-stores", columns: ["cached", "spooled"], values: size, second: true,
      series: () => [line("cached", "--cached"), line("spooled", "--spooled", { scale: "count", fill: undefined })] },
    { id: "plot-load", columns: ["associations", "failed"], values: (v) => (Number.isInteger(v) ? `${v}` : ""),
      series: () => [line("associations", "--assoc"), line("failed", "--fail")] },
  ];

  const options = (plot, box) => {
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const top = (u, low, high) => (plot.range ? plot.range : [0, Math.max(high * 1.1, plot.id === "plot-load" ? 4 : 1)]);
    const axes = [
      { ...axis, space: 70, size: 24, values: (u, times) => times.map((t) => new Date(t * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: times.at(-1) - times[0] < 120 ? "2-digit" : undefined, hourCycle: "h23" })) },
      { ...axis, size: 58, values: (u, values) => values.map(plot.values) },
    ];
    // at least a minute, also where there is nothing yet
    const times = (u, first, last) => { const end = last ?? Date.now() / 1000; return [Math.min(first ?? end, end - 60), end]; };
    const scales = { x: { time: true, range: times }, y: { range: top } };
    if (plot.second) {
      axes.push({ ...axis, scale: "count", side: 1, size: 36, grid: { show: false }, values: (u, values) => values.map((v) => (Number.isInteger(v) ? `${v}` : "")) });
      scales.count = { range: (u, low, high) => [0, Math.max(high * 1.1, 4)] };
    }
    return { width: box.clientWidth, height: 150, legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } }, padding: [8, plot.second ? 4 : 28, 0, 0],
      scales, axes, series: [{}, ...plot.series()] };
  };

  const data = (plot, columns) => [columns.time, ...plot.columns.map((name) => columns[name])];

  const refresh = async (anew) => {
    let columns;
    try {
      const answer = await fetch(`/api/v1/history?span=${span}`);
      if (!answer.ok) return;
      columns = await answer.json();
    } catch { return; }
    if (anew || !charts.length) {
      charts.forEach((chart) => chart.destroy());
      charts = plots.map((plot) => {
        const box = document.getElementById(plot.id);
        return new uPlot(options(plot, box), data(plot, columns), box);
      });
    } else {
      charts.forEach((chart, index) => chart.setData(data(plots[index], columns)));
    }
  };

  document.querySelectorAll(".spans button").forEach((button) => button.addEventListener("click", () => {
    span = button.dataset.span;
    document.querySelectorAll(".spans button").forEach((other) => other.classList.toggle("chosen", other === button));
    refresh(true);
  }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => refresh(true));
  let resizing;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => refresh(true), 200); });
  setInterval(() => { if (!document.hidden) refresh(false); }, 5000);
  refresh(true);
})();
