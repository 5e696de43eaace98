// A job's questions as a list that holds only the rows in view, however many there are.
import { api } from "./api.js";
import { number, percent, t } from "./i18n.js";
import { labelChips } from "./labels.js";
import { announce, html, nothing, render } from "./ui.js";

const ROW_PX = 52;
const PAGE_ROWS = 100;
const BEYOND_ROWS = 12;
const TYPING_MS = 250;
const FILTERS = ["wrong", "tie", "forced", "cut", "low", "failed", "resampled", "unpermuted", "abstained", "open"];

const ORDERS = ["position", "agreement", "confidence"];

export function questionList(host, { id, labelled, calibrated, parameters, signal, fail }) {
  let query = taken(parameters);
  let total = null;
  let pages = new Map(); // page number -> its rows, or "asked"
  let generation = 0; // of the filters: replies to earlier ones come too late
  let announced = 0; // nothing is, until someone filters
  let typing;
  let frame = 0;

  function taken(found) {
    return {
      show: found.getAll("show").filter((name) => FILTERS.includes(name)),
      text: found.get("text") || "",
      order: ORDERS.includes(found.get("order")) ? found.get("order") : "position",
    };
  }

  function written() {
    const words = new URLSearchParams();
    query.show.forEach((name) => words.append("show", name));
    if (query.text) words.set("text", query.text);
    if (query.order !== "position") words.set("order", query.order);
    return words;
  }

  function address(position) {
    const words = written().toString();
    return `#/jobs/${id}${position === null ? "" : `/questions/${position}`}${words ? `?${words}` : ""}`;
  }

  const row = (place) => {
    const page = pages.get(Math.floor(place / PAGE_ROWS));
    return Array.isArray(page) ? page[place % PAGE_ROWS] : undefined;
  };

  const draw = () => {
    const scroller = host.querySelector(".rows");
    const top = scroller ? scroller.scrollTop : 0;
    const height = scroller ? scroller.clientHeight : 600;
    const first = Math.max(0, Math.floor(top / ROW_PX) - BEYOND_ROWS);
    const last = Math.min(total || 0, Math.ceil((top + height) / ROW_PX) + BEYOND_ROWS);
    for (let page = Math.floor(first / PAGE_ROWS); page * PAGE_ROWS < last; page += 1) if (!pages.has(page)) load(page);
    const places = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
    render(
      html`
      <section class="card questions" aria-labelledby="questions-title">
        <h2 id="questions-title">${t("questions.title")} <span class="muted">${total === null ? "" : number(total)}</span></h2>
        <div class="filters">
          <input type="search" aria-label=${t("questions.search")} placeholder=${t("questions.search")} .value=${query.text} @input=${type}>
          <div class="chips" role="group" aria-label=${t("questions.filters")}>${FILTERS.map((name) =>
            (name === "wrong" && !labelled() && !query.show.includes("wrong")) ||
            (name === "abstained" && !calibrated() && !query.show.includes("abstained"))
              ? nothing
              : html`
            <button class="chip" aria-pressed=${query.show.includes(name)} @click=${() => toggle(name)}>${t(`show.${name}`)}</button>`,
          )}
          </div>
          <label>${t("questions.order")}
            <select @change=${(event) => change({ order: event.target.value })}>
              ${ORDERS.filter((name) => name !== "confidence" || calibrated() || query.order === name).map((name) => html`<option value=${name} ?selected=${query.order === name}>${t(`order.${name}`)}</option>`)}
            </select></label>
        </div>
        <div class="rows" role="table" aria-label=${t("questions.title")} aria-rowcount=${total ?? -1} tabindex="0" @scroll=${scrolled}>
          <div role="rowgroup" class="row-head"><div role="row">
            ${["number", "question", "answer", calibrated() ? "confidence" : "agreement", "flags"].map((name) => html`<span role="columnheader">${t(`column.${name}`)}</span>`)}
          </div></div>
          <div role="rowgroup" class="tall" .style=${`height:${(total || 0) * ROW_PX}px`}>
            <div role="presentation" .style=${`transform:translateY(${first * ROW_PX}px)`}>${places.map(shown)}</div>
          </div>
        </div>
        ${total === 0 ? html`<p class="empty">${t("questions.none")}</p>` : nothing}
      </section>`,
      host,
    );
  };

  const shown = (place) => {
    const found = row(place);
    if (!found)
      return html`<div role="row" class="question waiting" aria-rowindex=${place + 1}><span role="cell">…</span></div>`;
    const tone = found.state === "open" ? "open" : found.right === null ? "" : found.right ? "right" : "wrong";
    return html`
      <div role="row" class="question ${tone}" aria-rowindex=${place + 1}>
        <span role="cell" class="num">${number(found.position + 1)}</span>
        <span role="cell" class="text"><a href=${address(found.position)}>${found.text}</a><small>${found.id} · ${found.index + 1}</small></span>
        <span role="cell" class="answer">${answer(found)}${
          found.key !== null && found.state !== "open" && found.answer !== found.key
            ? html`<small>${t("question.is.key")} ${labelChips(found.key)}</small>`
            : nothing
        }</span>
        <span role="cell" class="num">${sureness(found)}</span>
        <span role="cell" class="flags">${found.flags.filter((flag) => flag !== "early_stop").map((flag) => html`<span class="flag-mark">${t(`flag.${flag}`)}</span>`)}</span>
      </div>`;
  };

  function sureness({ agreement, confidence }) {
    const value = calibrated() ? confidence : agreement;
    return value === null ? "–" : percent(value, 0);
  }

  function answer({ state, answer, key }) {
    if (state === "open") return "…";
    return answer === null ? html`<span class="bad">${t("none")}</span>` : labelChips(answer, key);
  }

  function scrolled() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }

  async function load(page) {
    const asked = generation;
    pages.set(page, pages.get(page) || "asked");
    const words = written();
    words.set("offset", page * PAGE_ROWS);
    words.set("limit", PAGE_ROWS);
    try {
      const found = await api.questions(id, words, signal);
      if (asked !== generation) return;
      pages.set(page, found.data);
      total = found.total;
      draw();
      if (announced !== generation) announce(t("questions.count", { count: number(total) }));
      announced = generation;
    } catch (error) {
      if (asked === generation) pages.delete(page);
      fail(error, document.getElementById("job-failure"));
    }
  }

  // Ask again for what is in view; what is shown stays until the reply is there.
  function refresh() {
    const top = host.querySelector(".rows")?.scrollTop || 0;
    const inView = Math.floor(top / ROW_PX / PAGE_ROWS);
    pages = new Map([...pages].filter(([page]) => Math.abs(page - inView) <= 1));
    for (const page of new Set([inView, ...pages.keys()])) load(page);
  }

  function restart() {
    generation += 1;
    pages = new Map();
    const scroller = host.querySelector(".rows");
    if (scroller) scroller.scrollTop = 0;
    load(0);
    draw();
  }

  function change(values) {
    query = { ...query, ...values };
    history.replaceState(null, "", address(null));
    restart();
  }

  function toggle(name) {
    change({ show: query.show.includes(name) ? query.show.filter((other) => other !== name) : [...query.show, name] });
  }

  function type(event) {
    clearTimeout(typing);
    const text = event.target.value;
    typing = setTimeout(() => change({ text }), TYPING_MS);
  }

  draw();
  return {
    refresh,
    redraw: draw,
    address,
    // The address changed, by a link or the browser's history.
    take: (found) => {
      const next = taken(found);
      if (JSON.stringify(next) === JSON.stringify(query)) return;
      query = next;
      restart();
    },
    // The position before or behind one in the list as it is filtered now; by the file's order
    // where that one is not in the list. Null at either end.
    neighbour: async (position, step) => {
      for (const [page, rows] of pages) {
        if (!Array.isArray(rows)) continue;
        const at = rows.findIndex((one) => one.position === position);
        if (at < 0) continue;
        const place = page * PAGE_ROWS + at + step;
        if (place < 0 || place >= total) return null;
        if (!row(place)) await load(Math.floor(place / PAGE_ROWS));
        return row(place)?.position ?? null;
      }
      return position + step >= 0 ? position + step : null;
    },
  };
}
