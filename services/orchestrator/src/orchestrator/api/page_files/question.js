// One question in a dialog: its problem, options, tally, and every sample with its label marked.
import { api } from "./api.js";
import { duration, number, percent, said, t } from "./i18n.js";
import { isRight, labelChips } from "./labels.js";
import { bars, copyLink, html, nothing, render } from "./ui.js";

const FINISHES = ["stop", "length", "abort", "content_filter"];
const LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

// Opens the dialog; returns what closes it.
export function openQuestion({ id, position, neighbour, address, back, fail }) {
  const dialog = document.createElement("dialog");
  dialog.className = "question-dialog";
  dialog.setAttribute("aria-labelledby", "question-title");
  document.body.append(dialog);
  const leaving = new AbortController();
  render(html`<p class="muted">${t("loading")}</p>`, dialog);
  dialog.showModal();
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    back();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && back());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });

  async function go(step) {
    const next = await neighbour(step);
    if (next !== null) location.replace(address(next));
  }

  async function load() {
    try {
      const found = await api.question(id, position, leaving.signal);
      render(content(found), dialog);
      dialog.querySelector(".close").focus();
    } catch (error) {
      fail(error, dialog);
    }
  }

  const content = (found) => html`
    <header>
      <h2 id="question-title">${t("question.title", { number: number(position + 1) })}</h2>
      <div class="actions">
        <button @click=${() => go(-1)} aria-label=${t("question.previous")}>←</button>
        <button @click=${() => go(1)} aria-label=${t("question.next")}>→</button>
        <button @click=${(event) => copyLink(event.currentTarget)}>${t("question.link")}</button>
        <button class="close" @click=${back}>${t("close")}</button>
      </div>
    </header>
    <p class="muted">${found.row.id} · ${t("question.of", { number: found.row.index + 1 })}</p>
    ${questionText(found)}
    ${found.answer ? answerView(found) : html`<p class="banner">${t("question.open")}</p>`}`;

  load();
  return () => {
    leaving.abort();
    dialog.close();
    dialog.remove();
  };
}

export const questionText = (found) => html`
  <details class="problem" open><summary>${t("question.problem")}</summary><p class="prose">${found.problem}</p></details>
  <p class="prose asked">${found.question}</p>
  <ol class="options">${found.options.map((option, i) => {
    const label = LABELS[i];
    const isChosen = found.row.answer?.includes(label);
    const isKey = found.row.key?.includes(label);
    return html`<li class="${isChosen ? "chosen" : ""} ${isKey ? "is-key" : ""}">
      <b>${label}</b> <span>${option}</span>
      ${isChosen ? html`<em>${t("question.answer")}</em>` : nothing}
      ${isKey ? html`<em>${t("question.is.key")}</em>` : nothing}</li>`;
  })}</ol>`;

export function answerView(found) {
  const { answer } = found;
  const votes = Object.values(answer.tally).reduce((sum, count) => sum + count, 0);
  return html`
    ${answer.error ? html`<p class="banner bad" role="alert">${said(answer.error, answer.error_message)}</p>` : nothing}
    ${
      votes
        ? html`<h3>${t("question.tally")}</h3>
      ${bars(
        t("question.tally"),
        Object.entries(answer.tally)
          .sort((a, b) => b[1] - a[1])
          .map(([label, count]) => ({
            name: labelChips(label, found.row.key),
            share: count / votes,
            text: number(count, 2),
            tone: found.row.key !== null && isRight(label, found.row.key, answer.multiple) ? "good" : "",
          })),
      )}`
        : nothing
    }
    <p class="facts">
      ${answer.agreement === null ? nothing : html`<span>${t("agreement")} ${percent(answer.agreement)}</span>`}
      ${answer.confidence === null ? nothing : html`<span>${t("column.confidence")} ${percent(answer.confidence)}</span>`}
      ${answer.labels_set ? html`<span>${t("confidence.set")} ${labelChips(answer.labels_set.join(""), found.row.key)}</span>` : nothing}
      <span>${t("question.latency", { time: duration(answer.latency_s) })}</span>
      <span>${t("question.tokens", { prompt: number(answer.prompt_tokens), completion: number(answer.samples.reduce((sum, s) => sum + s.tokens, 0)) })}</span>
      ${answer.samples_saved ? html`<span>${t("samples.saved", { count: answer.samples_saved })}</span>` : nothing}
      ${answer.flags.map((flag) => html`<span class="flag-mark" title=${t(`flag.${flag}.why`)}>${t(`flag.${flag}`)}</span>`)}
    </p>
    <h3>${t("question.samples")}</h3>
    ${answer.samples.map((sample, i) => sampleView(sample, found.places[i], found.row.key, answer.multiple))}`;
}

function sampleView(sample, place, key, multiple) {
  const characters = [...sample.text]; // places count characters, not UTF-16 units
  const cut = (from, to) => characters.slice(from, to).join("");
  const { label } = sample;
  const tone = label === null ? "invalid" : key === null ? "" : isRight(label, key, multiple) ? "right" : "wrong";
  return html`
    <article class="sample ${tone}">
      <header>
        <b>${label === null ? t("sample.invalid") : labelChips(label, key)}</b>
        <small>${t("sample.slot", { slot: sample.slot + 1 })}${sample.attempt ? html` · ${t("sample.attempt", { attempt: sample.attempt })}` : nothing}
          · ${t("sample.seed", { seed: sample.seed })} · ${t("sample.tokens", { count: number(sample.tokens) })} · ${FINISHES.includes(sample.finish_reason) ? t(`finish.${sample.finish_reason}`) : sample.finish_reason}${
            sample.order ? html` · ${t("sample.order", { order: sample.order })}` : nothing
          }</small>
      </header>
      ${sample.reasoning ? html`<details><summary>${t("sample.reasoning")}</summary><pre>${sample.reasoning}</pre></details>` : nothing}
      <pre>${place ? html`${cut(0, place[0])}<mark>${cut(...place)}</mark>${cut(place[1])}` : sample.text || t("sample.empty")}</pre>
    </article>`;
}
