// How far a job's answers can be trusted: the forecast, and how right confidence was.
import { number, percent, said, t } from "./i18n.js";
import { html, nothing, svg, tile } from "./ui.js";

const SIZE = 260; // of a plot's square, in its own units
const EDGE = 34;

// `found` is the report's `confidence`; there is none in reports of earlier versions.
export function confidenceView(found) {
  if (!found) return nothing;
  const told = found.shift_notes.map((note, i) => said(note, found.shift_messages[i]));
  return html`
    <section class="confidence" aria-labelledby="confidence-title">
      <h2 id="confidence-title">${t("confidence.title")}</h2>
      ${found.note ? html`<p class="muted">${said(found.note, found.note_message)}</p>` : nothing}
      ${found.calibration ? html`<p class="muted">${origin(found.calibration)}</p>` : nothing}
      ${told.map((note) => html`<p class="banner bad" role="alert">${note}</p>`)}
      <div class="tiles">${tiles(found)}</div>
      <div class="charts">
        ${found.reliability.length ? reliabilityPlot(found) : nothing}
        ${found.coverage.length ? coveragePlot(found.coverage) : nothing}
      </div>
      ${found.label_next ? toLabel(found.label_next) : nothing}
    </section>`;
}

const origin = (calibration) =>
  t("confidence.origin", {
    job: calibration.job,
    questions: number(calibration.questions),
    error: percent(calibration.calibration_error),
  });

const range = ({ low, high }) => t("interval", { low: percent(low), high: percent(high) });

const tiles = (found) => html`
  ${found.forecast ? tile("confidence.forecast", percent(found.forecast.value), range(found.forecast)) : nothing}
  ${found.with_keys ? tile("confidence.withkeys", percent(found.with_keys.value), `${range(found.with_keys)} · ${t("confidence.keys", { count: number(found.with_keys.keys) })}`) : nothing}
  ${found.calibration_error === null ? nothing : tile("confidence.error", percent(found.calibration_error), t("confidence.bins", { count: number(found.reliability.length) }))}
  ${found.abstain_below === null ? nothing : tile("flag.abstained", number(found.abstained), t("confidence.below", { limit: percent(found.abstain_below) }))}`;

const toLabel = ({ half_width, questions }) => html`
  <details><summary>${t("confidence.label", { count: number(questions.length), half: percent(half_width) })}</summary>
    <p class="muted">${t("confidence.label.why")}</p>
    <p class="muted">${questions.map(({ id, index }) => `${id} · ${index + 1}`).join(", ")}</p>
  </details>`;

// Where a share from 0 to 1 is in a plot.
const across = (share) => EDGE + (SIZE - EDGE - 10) * share;
const up = (share) => SIZE - EDGE - (SIZE - EDGE - 10) * share;

function plot(title, note, xName, yName, marks) {
  const ticks = [0, 0.5, 1];
  return html`
    <div class="card"><h2>${t(title)}</h2>
      <svg class="plot" viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-label=${t(title)}>
        ${ticks.map(
          (tick) => svg`
          <line class="grid" x1=${across(tick)} x2=${across(tick)} y1=${up(0)} y2=${up(1)}></line>
          <line class="grid" x1=${across(0)} x2=${across(1)} y1=${up(tick)} y2=${up(tick)}></line>
          <text x=${across(tick)} y=${up(0) + 13} text-anchor=${tick === 1 ? "end" : "middle"}>${percent(tick, 0)}</text>
          <text x=${EDGE - 4} y=${up(tick) + 3} text-anchor="end">${percent(tick, 0)}</text>`,
        )}
        <text x=${across(0.5)} y=${SIZE - 4} text-anchor="middle">${t(xName)}</text>
        <text x=${EDGE + 5} y=${up(1) + 12}>${t(yName)}</text>
        ${marks}
      </svg>
      <p class="muted">${note}</p>
    </div>`;
}

const spot = (x, one, text) => svg`
  ${one.low === null ? nothing : svg`<line class="whisker" x1=${across(x)} x2=${across(x)} y1=${up(one.low)} y2=${up(one.high)}></line>`}
  <circle cx=${across(x)} cy=${up(one.accuracy)} r="3.5"><title>${text}</title></circle>`;

function reliabilityPlot({ reliability }) {
  const marks = svg`
    <line class="ideal" x1=${across(0)} y1=${up(0)} x2=${across(1)} y2=${up(1)}></line>
    ${reliability.map((bin) => spot(bin.confidence, bin, t("confidence.bin", { confidence: percent(bin.confidence), accuracy: percent(bin.accuracy), count: number(bin.questions) })))}`;
  return plot("confidence.reliability", t("confidence.reliability.why"), "column.confidence", "accuracy", marks);
}

// With keys the accuracy of the surest answers, else the mean of their confidence.
function coveragePlot(points) {
  const keyed = points.every((point) => point.accuracy !== null);
  const value = (point) => (keyed ? point.accuracy : point.confidence);
  const line = points.map((point) => `${across(point.coverage)},${up(value(point))}`).join(" ");
  const band = [...points, ...[...points].reverse()]
    .map((point, i) => `${across(point.coverage)},${up(i < points.length ? point.high : point.low)}`)
    .join(" ");
  const marks = svg`
    ${keyed ? svg`<polygon class="band" points=${band}></polygon>` : nothing}
    <polyline class="curve" points=${line}></polyline>
    ${points.map((point) => svg`<circle class="hit" cx=${across(point.coverage)} cy=${up(value(point))} r="2.5"><title>${t("confidence.point", { limit: percent(point.at_least), coverage: percent(point.coverage), accuracy: percent(value(point)) })}</title></circle>`)}`;
  const note = t(keyed ? "confidence.coverage.why" : "confidence.coverage.forecast");
  return plot("confidence.coverage", note, "confidence.answered", keyed ? "accuracy" : "column.confidence", marks);
}
