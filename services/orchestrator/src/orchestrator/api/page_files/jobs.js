// The list of jobs, and the form that posts a new one.
import { api, ApiError, OfflineError, submit } from "./api.js";
import { duration, moment, number, percent, said, t } from "./i18n.js";
import { announce, confirmed, failure, html, nothing, render, status } from "./ui.js";

const BUSY_POLL_MS = 2000;
const IDLE_POLL_MS = 10000;
export const ENDED = ["completed", "failed", "cancelled"];

export function jobsView(main, { signal, fail }) {
  let jobs = null;
  let more = false;
  let pages = 1;
  let file = null;
  let settings = {}; // the JSON Schema of each
  let sending = null; // the share sent
  let refusal = null;
  let timer;

  const draw = () =>
    !signal.aborted &&
    render(
      html`
    <h1>${t("jobs.title")}</h1>
    ${form()}
    ${jobs === null ? html`<p class="muted">${t("loading")}</p>` : list()}
    <div id="jobs-failure"></div>`,
      main,
    );

  const form = () => html`
    <form class="card upload" @submit=${post} @dragover=${hover} @dragleave=${unhover} @drop=${drop} aria-label=${t("upload.label")}>
      <div class="dropzone">
        <label class="button primary" for="upload-file">${t("upload.choose")}</label>
        <input class="unseen" id="upload-file" name="file" type="file" accept=".jsonl,.json,.txt" @change=${choose}>
        <span>${file ? html`<strong>${file.name}</strong> (${number(file.size / 1024, 0)} KiB)` : t("upload.drop")}</span>
        <button class="primary" ?disabled=${!file || sending !== null}>${t("upload.post")}</button>
      </div>
      ${sending === null ? nothing : html`<progress max="1" .value=${sending} aria-label=${t("upload.sending")}></progress>`}
      <details>
        <summary>${t("upload.settings")}</summary>
        <div class="fields">
          ${Object.entries(settings).map(([name, found]) => setting(name, found))}
        </div>
      </details>
      ${refusal ? failure(refusal) : nothing}
    </form>`;

  // A setting as its JSON Schema has it: a flag, a choice of words, or a number that may be left empty.
  function setting(name, schema) {
    if (schema.type === "boolean") return flag(name, schema.default);
    if (schema.enum) return choice(name, [schema.default, ...schema.enum.filter((value) => value !== schema.default)]);
    const optional = schema.anyOf !== undefined;
    const { type, minimum, maximum, exclusiveMaximum } = optional ? schema.anyOf[0] : schema;
    return field(
      name,
      html`<input name=${name} type="number" min=${minimum ?? 0} max=${maximum ?? (exclusiveMaximum ? exclusiveMaximum - 1 : nothing)}
      step=${type === "integer" ? 1 : "any"} value=${schema.default ?? ""} ?required=${!optional}
      placeholder=${optional ? t("setting.model") : nothing}>`,
    );
  }

  const field = (name, input) => html`
    <label><span>${t(`setting.${name}`)}</span>${input}<small>${t(`setting.${name}.why`)}</small></label>`;
  const choice = (name, values) =>
    field(
      name,
      html`
    <select name=${name}>${values.map((value) => html`<option value=${value}>${t(`setting.${value}`)}</option>`)}</select>`,
    );
  const flag = (name, checked) => html`
    <label class="flag"><input type="checkbox" name=${name} ?checked=${checked}><span>${t(`setting.${name}`)}</span>
      <small>${t(`setting.${name}.why`)}</small></label>`;

  const list = () =>
    jobs.length === 0
      ? html`<p class="card empty">${t("jobs.none")}</p>`
      : html`
      <ul class="jobs">${jobs.map(row)}</ul>
      ${more ? html`<div class="actions"><button @click=${showMore}>${t("jobs.more")}</button></div>` : nothing}`;

  const row = (job) => {
    const counts = job.request_counts;
    const done = counts.completed + counts.failed;
    return html`
      <li class="card job">
        <div class="what">
          <a href="#/jobs/${job.id}">${job.filename}</a> ${status(job)}
          <small>${moment(job.created_at)} · <code>${job.id.slice(-8)}</code></small>
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
        <div class="actions">${jobActions(job, load, (error) => fail(error, main.querySelector("#jobs-failure")))}</div>
      </li>`;
  };

  function choose(event) {
    [file] = event.target.files;
    refusal = null;
    draw();
  }
  function hover(event) {
    event.preventDefault();
    event.currentTarget.classList.add("hovered");
  }
  function unhover(event) {
    event.currentTarget.classList.remove("hovered");
  }
  function drop(event) {
    event.preventDefault();
    unhover(event);
    if (!event.dataTransfer.files.length) return;
    main.querySelector("#upload-file").files = event.dataTransfer.files;
    [file] = event.dataTransfer.files;
    refusal = null;
    draw();
  }

  async function post(event) {
    event.preventDefault();
    if (!file) return;
    const data = new FormData(event.target);
    for (const [name, schema] of Object.entries(settings)) {
      if (schema.type === "boolean") data.set(name, String(data.has(name)));
      else if (data.get(name) === "") data.delete(name); // the model's own
    }
    refusal = null;
    try {
      const job = await submit(data, (share) => {
        sending = share;
        draw();
      });
      announce(t("upload.accepted"));
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof OfflineError)) throw error;
      if (error.status === 401) fail(error, main);
      refusal = error;
    }
    sending = null;
    draw();
  }

  function showMore() {
    pages += 1;
    load();
  }

  async function load() {
    clearTimeout(timer);
    try {
      const found = [];
      more = true;
      for (let page = 0; page < pages && more; page += 1) {
        const reply = await api.jobs(found.at(-1)?.id, signal);
        found.push(...reply.data);
        more = reply.has_more;
      }
      jobs = found;
      draw();
      const host = main.querySelector("#jobs-failure");
      if (host) render(nothing, host);
    } catch (error) {
      if (jobs === null) jobs = [];
      draw();
      const host = main.querySelector("#jobs-failure");
      if (error instanceof OfflineError)
        render(failure(error), host); // asked again below
      else fail(error, host);
      if (error instanceof ApiError && error.status === 401) return;
    }
    if (signal.aborted) return;
    const busy = jobs.some((job) => !ENDED.includes(job.status));
    timer = setTimeout(load, busy ? BUSY_POLL_MS : IDLE_POLL_MS);
  }

  draw();
  api.jobSettings(signal).then(
    (found) => {
      settings = found;
      draw();
    },
    (error) => signal.aborted || fail(error, main.querySelector("#jobs-failure")),
  );
  load();
  return { leave: () => clearTimeout(timer) };
}

// The buttons that fit a job's state; `done` is called when one has been obeyed.
export function jobActions(job, done, failed, removed = done) {
  const act =
    (ask, yes, call, then = done) =>
    async () => {
      if (ask && !(await confirmed(t(ask, { name: job.filename }), t(yes)))) return;
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
    ${open ? html`<button @click=${act("ask.cancel", "job.cancel", api.cancel)}>${t("job.cancel")}</button>` : nothing}
    ${resumable ? html`<button @click=${act(null, null, api.resume)}>${t("job.resume")}</button>` : nothing}
    ${ENDED.includes(job.status) ? html`<button class="danger" @click=${act("ask.delete", "job.delete", api.remove, removed)}>${t("job.delete")}</button>` : nothing}`;
}
