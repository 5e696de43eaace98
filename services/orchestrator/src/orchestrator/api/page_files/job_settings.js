// A job's settings, and what came of them: the model, its prompt, and what the endpoint refused.
import { number, said, t } from "./i18n.js";
import { html, nothing } from "./ui.js";

// These are off if they are not set.
const OFF = ["abstain_below", "answer_sets"];
const OF_THE_MODEL = ["temperature", "top_p", "max_tokens"];

export function jobSettings(job) {
  const { start } = job;
  const changed = start?.adapted ?? [];
  return html`
    <details class="job-settings">
      <summary>${t("job.settings")}${changed.length ? html` <span class="flag-mark">${t("start.changed", { count: changed.length })}</span>` : nothing}</summary>
      <dl class="pairs">
        ${Object.entries(job.settings).map(([name, value]) => pair(t(`setting.${name}`), shown(name, value, start)))}
        ${pair("SHA-256", html`<code>${job.sha256.slice(0, 16)}</code>`)}
        ${start ? asked(start) : nothing}
      </dl>
      ${start && job.settings.panel ? voters(start) : nothing}
      ${start ? notes(start) : nothing}
    </details>`;
}

const pair = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;

function shown(name, value, start) {
  if (name === "vote_temperature") return voteTemperature(start?.vote_temperature ?? value);
  if (name === "panel") return value ?? t("none");
  if (value === null)
    return OFF.includes(name)
      ? t(`setting.${name}.empty`)
      : OF_THE_MODEL.includes(name) && start
        ? t("start.models", { value: start[name] })
        : t("setting.model");
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  return typeof value === "string" ? t(`setting.${value}`) : value;
}

const voteTemperature = (value) => (value === "Infinity" ? "∞" : (value ?? t("setting.unset")));
// A line a voter of the panel: its model, where it is asked, how warm, how heavy.
const voters = (start) => html`
  <h3>${t("start.voters")}</h3>
  <ul class="told">${start.voters.map(
    ({ name, model, url, sampling, weight }) => html`
    <li>${t("start.voter", { name, model, temperature: sampling.temperature, weight: number(weight, 2) })}${url ? html` <code>${url}</code>` : nothing}</li>`,
  )}</ul>`;

const asked = (start) => html`
  ${pair(t("start.model"), html`<code>${start.model}</code>`)}
  ${Object.keys(start.extra_body).length ? pair("EXTRA_BODY", html`<code>${JSON.stringify(start.extra_body)}</code>`) : nothing}`;

// How the prompt was chosen and changed, and each parameter that the endpoint did not take.
function notes(start) {
  const format = start.prompt_format;
  const prompt = [
    format,
    start.prompt_note && { note: start.prompt_note, note_message: start.prompt_note_message },
  ].filter(Boolean);
  const told = ({ note, note_message }) => html`<li>${said(note, note_message)}</li>`;
  return html`
    ${prompt.length ? html`<h3>${t("start.prompt")}</h3><ul class="told">${prompt.map(told)}</ul>` : nothing}
    ${start.adapted.length ? html`<h3>${t("start.adapted")}</h3><ul class="told">${start.adapted.map(told)}</ul>` : nothing}`;
}
