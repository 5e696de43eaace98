// Lines over steps or time, drawn by uPlot in the page's colours.
import { number } from "./i18n.js";

let loaded;
const load = () => (loaded ||= import("./vendor/uPlot.js").then((found) => found.default));

function ink(host, name) {
  const probe = document.createElement("span");
  probe.className = `ink ${name}`;
  host.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

// `series`: [{label, values, name, points}], each as long as `x`, null where there is no value.
// Returns a function that takes the chart away.
export async function drawLines(host, { x, xLabel, series, log = false, digits = 3, height = 220, zero = false }) {
  const UPlot = await load();
  const width = () => Math.max(host.clientWidth, 240);
  let chart;
  const draw = () => {
    chart?.destroy();
    const grid = { stroke: ink(host, "grid"), width: 1 };
    const axis = { stroke: ink(host, "muted"), grid, ticks: grid, font: "12px system-ui" };
    const options = {
      width: width(),
      height,
      cursor: { drag: { x: true, y: false } },
      scales: {
        x: { time: false },
        y: { distr: log ? 3 : 1, range: zero && !log ? (_, _low, high) => [0, high * 1.05 || 1] : undefined },
      },
      axes: [
        { ...axis, label: xLabel, labelSize: 20, labelFont: "12px system-ui" },
        { ...axis, size: 60, values: (_, ticks) => ticks.map((v) => (v === null ? "" : number(v, digits))) },
      ],
      series: [
        { label: xLabel, value: (_, v) => (v === null ? "–" : number(v, 1)) },
        ...series.map(({ label, name, points }) => ({
          label,
          stroke: ink(host, name),
          width: 2,
          spanGaps: true,
          points: { show: Boolean(points) },
          value: (_, v) => (v === null ? "–" : number(v, digits)),
        })),
      ],
    };
    chart = new UPlot(options, [x, ...series.map((one) => one.values)], host);
  };
  draw();
  const observer = new ResizeObserver(() => chart.setSize({ width: width(), height }));
  observer.observe(host);
  document.addEventListener("themechange", draw);
  return () => {
    document.removeEventListener("themechange", draw);
    observer.disconnect();
    chart.destroy();
  };
}

// Exponential moving average from the first value on; its weight is that of what was before.
export function smoothed(values, weight) {
  let last = null;
  return values.map((value) => {
    if (value === null) return null;
    last = last === null ? value : weight * last + (1 - weight) * value;
    return last;
  });
}
