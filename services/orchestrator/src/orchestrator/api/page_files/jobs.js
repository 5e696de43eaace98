// The list of jobs, with its filters and the form that posts a new one.
import { api, ApiError, OfflineError } from "./api.js";
import { areNone, filterBar, listAddress, readFilters, writtenFilters } from "./filters.js";
import { duration, moment, number, percent, said, t } from "./i18n.js";
import { pairsOf } from "./pairs.js";
import { confirmed, failure, html, nothing, render, status } from "./ui.js";
import { uploadForm } from "./upload.js";

const BUSY_POLL_MS = 2000;
const IDLE_POLL_MS = 10000;
const SHOWN_PAIRS = 4;
export const ENDED = ["completed", "failed", "cancelled"];

export function jobsView(main, { parameters, signal, fail }) {
  let filters = readFilters(parameters);
  let jobs = null;
  let more = false;
  let pages = 1;
  let generation = 0; // of the filters: replies to earlier ones come too late
  let timer;

  render(
    html`
    <h1>${t("jobs.title")}</h1>
    <div id="new-job"></div>
    <div id="job-filters"></div>
    <div id="job-list"></div>
    <div id="jobs-failure"></div>`,
    main,
  );
  const host = (name) => main.querySelector(`#${name}`);
  const bar = filterBar(host("job-filters"), filters, (changed) => {
    history.replaceState(null, "", listAddress(changed));
    show(changed);
  });

  const draw = () => !signal.aborted && render(list(), host("job-list"));

  const list = () => {
    if (jobs === null) return html`<p class="muted">${t("loading")}</p>`;
    if (jobs.length === 0) return areNone(filters) ? html`<p class="card empty">${t("jobs.none")}</p>` : noHit();
    return html`
      <ul class="jobs">${jobs.map(row)}</ul>
      ${more ? html`<div class="actions"><button @click=${showMore}>${t("jobs.more")}</button></div>` : nothing}`;
  };

  const noHit = () => html`
    <div class="card empty"><p>${t("jobs.nohit")}</p><button @click=${bar.clear}>${t("jobs.filter.clear")}</button></div>`;

  const row = (job) => {
    const counts = job.request_counts;
    const done = counts.completed + counts.failed;
    return html`
      <li class="card job">
        <div class="what">
          <a href="#/jobs/${job.id}">${job.name ?? job.filename}</a> ${status(job)}
          <small>${job.name ? html`${job.filename} · ` : nothing}${moment(job.created_at)} · <code>${job.id.slice(-8)}</code></small>
          ${pairs(job)}
          ${job.note ? html`<small class="note">${said(job.note, job.note_message)}</small>` : nothing}
          ${job.error ? html`<small class="note bad">${said(job.error, job.error_message)}</small>` : nothing}
        </div>
        <div class="progress">
          <progress max=${counts.total} .value=${done} aria-label=${t("job.progress")}></progress>
          <small>${t("job.done", { done: number(done), total: number(counts.total) })}${
            job.eta_s === null || ENDED.includes(job.status)
              ? nothing
              : html` · ${t("job.left", { time: duration(job.eta_s) })}`
          }</small>
        </div>
        <div class="score">${
          job.accuracy
            ? html`<strong>${percent(job.accuracy.value)}</strong><small>${t("accuracy")}</small>`
            : job.agreement !== null
              ? html`<strong>${percent(job.agreement)}</strong><small>${t("agreement")}</small>`
              : nothing
        }</div>
        <div class="actions">${jobActions(job, load, (error) => fail(error, host("jobs-failure")))}</div>
      </li>`;
  };

  const pairs = (job) => {
    const all = pairsOf(job.metadata);
    if (!all.length) return nothing;
    return html`<span class="chips">${all.slice(0, SHOWN_PAIRS).map(
      (pair) => html`
      <a class="chip pair" href=${listAddress({ ...filters, metadata: [...new Set([...filters.metadata, pair])] })}
        aria-label=${t("pairs.only", { pair })} title=${pair}><span>${pair}</span></a>`,
    )}${all.length > SHOWN_PAIRS ? html`<small>${t("pairs.more", { count: number(all.length - SHOWN_PAIRS) })}</small>` : nothing}</span>`;
  };

  // What is shown stays until the reply is there.
  function show(changed) {
    filters = changed;
    pages = 1;
    generation += 1;
    load();
  }

  function showMore() {
    pages += 1;
    load();
  }

  async function found() {
    const all = [];
    let rest = true;
    for (let page = 0; page < pages && rest; page += 1) {
      const reply = await api.jobs(writtenFilters(filters), all.at(-1)?.id, signal);
      all.push(...reply.data);
      rest = reply.has_more;
    }
    return [all, rest];
  }

  async function load() {
    clearTimeout(timer);
    const asked = generation;
    try {
      const reply = await found();
      if (signal.aborted || asked !== generation) return;
      [jobs, more] = reply;
      draw();
      render(nothing, host("jobs-failure"));
    } catch (error) {
      if (signal.aborted || asked !== generation) return;
      failed(error);
      if (error instanceof ApiError && error.status === 401) return;
    }
    const busy = jobs.some((job) => !ENDED.includes(job.status));
    timer = setTimeout(load, busy ? BUSY_POLL_MS : IDLE_POLL_MS);
  }

  function failed(error) {
    if (jobs === null || error.status === 422) jobs = []; // refused filters fit no job
    draw();
    if (error instanceof OfflineError)
      render(failure(error), host("jobs-failure")); // asked again
    else fail(error, host("jobs-failure"));
  }

  draw();
  uploadForm(host("new-job"), { signal, fail });
  load();
  return {
    update: (next) => {
      const changed = readFilters(next.parameters);
      if (JSON.stringify(changed) === JSON.stringify(filters)) return;
      bar.show(changed);
      show(changed);
    },
    leave: () => clearTimeout(timer),
  };
}

// The buttons that fit a job's state, each in its own place. `done` is called when one has been obeyed.
export function jobActions(job, done, failed, removed = done) {
  const act =
    (ask, yes, call, then = done) =>
    async () => {
      if (ask && !(await confirmed(t(ask, { name: job.name ?? job.filename }), t(yes)))) return;
      try {
        await call(job.id);
        then();
      } catch (error) {
        failed(error);
      }
    };
  const open = ["in_progress", "validating", "finalizing"].includes(job.status);
  const resumable =
    ["failed", "cancelled"].includes(job.status) || (job.status === "completed" && job.request_counts.failed > 0);
  return html`
    ${open ? html`<button class="go" @click=${act("ask.cancel", "ask.cancel.yes", api.cancel)}>${t("job.cancel")}</button>` : nothing}
    ${resumable ? html`<button class="go" @click=${act(null, null, api.resume)}>${t("job.resume")}</button>` : nothing}
    ${ENDED.includes(job.status) ? html`<button class="danger end" @click=${act("ask.delete", "job.delete", api.remove, removed)}>${t("job.delete")}</button>` : nothing}`;
}
