// Two jobs over the same questions: how far they differ, and where, with their samples side by side.
import { api } from "./api.js";
import { moment, number, percent, t } from "./i18n.js";
import { ENDED } from "./jobs.js";
import { labelChips } from "./labels.js";
import { answerView, questionText } from "./question.js";
import { bars, html, interval, nothing, render, tile } from "./ui.js";

const SHOWN = 100;
const LISTED_PAGES = 10;

export function compareView(main, { parameters, signal, fail }) {
  let jobs = [];
  let chosen = read(parameters);
  let found = null;
  let shown = SHOWN;
  let loading = false;

  function read(words) {
    return { first: words.get("first") || "", second: words.get("second") || "" };
  }

  const draw = () =>
    !signal.aborted &&
    render(
      html`
    <h1>${t("compare.title")}</h1>
    <form class="card pick" @submit=${(event) => event.preventDefault()}>
      ${picker("first")}${picker("second")}
    </form>
    <div id="compare-failure"></div>
    ${loading ? html`<p class="muted">${t("loading")}</p>` : found ? result() : html`<p class="muted">${t("compare.pick")}</p>`}`,
      main,
    );

  const picker = (which) => html`
    <label>${t(`compare.${which}`)}
      <select @change=${(event) => pick(which, event.target.value)}>
        <option value="" ?selected=${!chosen[which]}>${t("compare.none")}</option>
        ${jobs.map(
          (job) => html`<option value=${job.id} ?selected=${job.id === chosen[which]}>
          ${job.name ?? job.filename} · ${moment(job.created_at)} · k = ${job.settings.samples} · ${job.id.slice(-8)}</option>`,
        )}
      </select></label>`;

  const result = () => html`
    <div class="tiles">
      ${tile("compare.shared", number(found.questions))}
      ${tile("compare.same", found.questions ? percent(found.same_answer / found.questions) : "–")}
      ${tile("compare.changed", number(found.changed.length))}
      ${
        found.difference === null
          ? nothing
          : html`
        ${tile("compare.difference", points(found.difference), t("interval", { low: points(found.low), high: points(found.high) }))}
        ${tile("compare.p", found.p_value < 0.0001 ? "< 0.0001" : number(found.p_value, 4))}
        ${tile("compare.gained", `${number(found.gained)} / ${number(found.lost)}`)}`
      }
    </div>
    ${found.only_first + found.only_second ? html`<p class="banner">${t("compare.only", { first: number(found.only_first), second: number(found.only_second) })}</p>` : nothing}
    ${
      found.first
        ? html`<div class="card"><h2>${t("accuracy")}</h2>
      ${bars(
        t("accuracy"),
        ["first", "second"].map((which) => ({
          name: t(`compare.${which}`),
          share: found[which].value,
          low: found[which].low,
          high: found[which].high,
          text: interval(found[which]),
          tone: "good",
        })),
      )}
      <p class="muted">${t("compare.method")}</p></div>`
        : nothing
    }
    <section class="card"><h2>${t("compare.changes")}</h2>
      ${
        found.changed.length === 0
          ? html`<p class="empty">${t("compare.nochange")}</p>`
          : html`
        <ul class="changes">${found.changed.slice(0, shown).map(change)}</ul>
        ${
          shown < found.changed.length
            ? html`<div class="actions"><button @click=${() => {
                shown += SHOWN;
                draw();
              }}>${t("compare.more", { count: number(found.changed.length - shown) })}</button></div>`
            : nothing
        }`
      }
    </section>`;

  const points = (share) => t("points", { points: `${share > 0 ? "+" : ""}${number(100 * share, 1)}` });

  const change = (one) => {
    const { first_right: was, second_right: is } = one;
    const tone = was === is ? "" : is ? "gained" : "lost"; // neither without a key
    return html`<li><details class=${tone} @toggle=${(event) => open(event.target, one)}>
      <summary><code>${one.id}</code> · ${one.index + 1}
        <b>${answer(one.first, one.key)} → ${answer(one.second, one.key)}</b>
        ${one.key ? html`<small>${t("question.is.key")} ${labelChips(one.key)}</small>` : nothing}
        ${tone ? html`<span class="flag-mark">${t(`compare.${tone}.one`)}</span>` : nothing}
      </summary><div class="side"></div></details></li>`;
  };

  const answer = (labels, key) => (labels === null ? t("none") : labelChips(labels, key));

  async function open(details, one) {
    const host = details.querySelector(".side");
    if (!details.open || host.childElementCount) return;
    try {
      const [left, right] = await Promise.all([
        api.question(chosen.first, one.first_position, signal),
        api.question(chosen.second, one.second_position, signal),
      ]);
      render(
        html`${questionText(left)}
        <div class="columns">${[
          ["first", left],
          ["second", right],
        ].map(
          ([which, side]) => html`
          <div><h3><a href="#/jobs/${chosen[which]}/questions/${side.row.position}">${t(`compare.${which}`)}: ${side.row.answer ?? t("none")}</a></h3>
            ${side.answer ? answerView(side) : nothing}</div>`,
        )}</div>`,
        host,
      );
    } catch (error) {
      fail(error, host);
    }
  }

  function pick(which, id) {
    chosen = { ...chosen, [which]: id };
    history.replaceState(null, "", `#/compare?${new URLSearchParams(chosen)}`);
    load();
  }

  async function load() {
    found = null;
    shown = SHOWN;
    if (chosen.first && chosen.second) {
      loading = true;
      draw();
      try {
        found = await api.comparison(chosen.first, chosen.second, signal);
      } catch (error) {
        loading = false;
        draw();
        fail(error, main.querySelector("#compare-failure"));
        return;
      }
      loading = false;
    }
    draw();
    const host = main.querySelector("#compare-failure");
    if (host) render(nothing, host);
  }

  async function begin() {
    draw();
    try {
      let more = true;
      for (let page = 0; page < LISTED_PAGES && more; page += 1) {
        const reply = await api.jobs({}, jobs.at(-1)?.id, signal);
        jobs.push(...reply.data);
        more = reply.has_more;
      }
      jobs = jobs.filter((job) => ENDED.includes(job.status));
      await load();
    } catch (error) {
      fail(error, main.querySelector("#compare-failure"));
    }
  }

  begin();
  return {
    update: (next) => {
      chosen = read(next.parameters);
      load();
    },
  };
}
