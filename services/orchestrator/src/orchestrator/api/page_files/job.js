// One job, live: how far it is, what its answers add up to, and its questions.
import { api, ApiError, OfflineError } from "./api.js";
import { drawLines } from "./curves.js";
import { duration, moment, number, percent, said, t } from "./i18n.js";
import { listAddress } from "./filters.js";
import { ENDED, jobActions } from "./jobs.js";
import { openQuestion } from "./question.js";
import { questionList } from "./questions.js";
import { confidenceView } from "./confidence.js";
import { sumsView } from "./figures.js";
import { jobSettings } from "./job_settings.js";
import { pairsOf } from "./pairs.js";
import { html, nothing, render, status } from "./ui.js";

const FIGURES_EVERY_MS = 1000;

export function jobView(main, { subject: id, detail, parameters, signal, fail }) {
  let job = null;
  let sums = null;
  let report = null; // of an ended job
  let list = null;
  let events = null;
  let timer = null;
  let clearRate = null;
  let closeQuestion = null;

  render(
    html`
    <div id="job-head"></div>
    <div id="job-failure"></div>
    <section class="figures" aria-label=${t("job.figures")}>
      <div class="card" id="rate-card" hidden><h2>${t("job.rate")}</h2><div id="rate"></div></div>
      <div id="sums"></div>
      <div id="confidence"></div>
    </section>
    <div id="questions"></div>`,
    main,
  );
  const host = (name) => main.querySelector(`#${name}`);

  const drawHead = () => {
    const counts = job.request_counts;
    const done = counts.completed + counts.failed;
    const running = !ENDED.includes(job.status);
    const title = job.name ?? job.filename;
    document.title = `${running ? percent(done / counts.total, 0) : t(`status.${job.status}`)} ${title} – Quorum`;
    render(
      html`
      <div class="head">
        <div>
          <h1>${title} ${status(job)}</h1>
          <p class="muted">${job.name ? html`${job.filename} · ` : nothing}<code>${job.id}</code> · ${moment(job.created_at)}</p>
          ${pairs()}
        </div>
        <div class="actions">
          ${jobActions(
            job,
            refresh,
            (error) => fail(error, host("job-failure")),
            () => {
              location.hash = "#/";
            },
          )}
          <a class="button" href="#/compare?first=${job.id}">${t("job.compare")}</a>
        </div>
      </div>
      ${job.recognized ? html`<p class="muted recognized">${said(job.recognized, job.recognized_message)}</p>` : nothing}
      ${job.note ? html`<p class="banner" role="status">${said(job.note, job.note_message)}</p>` : nothing}
      ${job.error ? html`<p class="banner bad" role="alert">${said(job.error, job.error_message)}</p>` : nothing}
      <div class="card">
        <progress class="large" max=${counts.total} .value=${done} aria-label=${t("job.progress")}></progress>
        <p class="facts">
          <span>${t("job.done", { done: number(done), total: number(counts.total) })}</span>
          ${counts.failed ? html`<span class="bad">${t("job.failed", { count: number(counts.failed) })}</span>` : nothing}
          ${running && job.questions_per_s ? html`<span>${t("job.speed", { questions: number(job.questions_per_s, 1), samples: number(job.samples_per_s, 1) })}</span>` : nothing}
          ${running && job.eta_s !== null ? html`<span>${t("job.left", { time: duration(job.eta_s) })}</span>` : nothing}
          ${!running && job.started_at ? html`<span>${t("job.took", { time: duration((new Date(job.finished_at) - new Date(job.started_at)) / 1000) })}</span>` : nothing}
        </p>
        ${running ? nothing : downloads()}
        ${jobSettings(job)}
      </div>`,
      host("job-head"),
    );
  };

  const pairs = () => {
    const all = pairsOf(job.metadata);
    return all.length
      ? html`<p class="chips">${all.map(
          (pair) => html`
        <a class="chip pair" href=${listAddress({ metadata: [pair] })} title=${pair} aria-label=${t("pairs.only", { pair })}><span>${pair}</span></a>`,
        )}</p>`
      : nothing;
  };

  const downloads = () => html`
    <p class="downloads">${t("job.downloads")}
      ${["submission", "answers", "errors", "report", "file"]
        .filter((what) => what !== "submission" || job.status === "completed")
        .map(
          (what) => html`<a href=${api.download(id, what)} download>${t(`download.${what}`, { suffix: suffix() })}</a>`,
        )}
    </p>`;

  const suffix = () => job.submission_file.split(".").at(-1);

  const drawSums = () => render(sumsView(sums, !ENDED.includes(job.status)), host("sums"));

  async function drawRate(points) {
    host("rate-card").hidden = points.length === 0;
    if (points.length === 0) return;
    clearRate?.();
    clearRate = null;
    const target = host("rate");
    const clear = await drawLines(target, {
      x: points.map((point) => point.elapsed_s),
      xLabel: t("chart.seconds"),
      series: [{ label: t("chart.rate"), name: "one", values: points.map((point) => point.questions_per_s) }],
      zero: true,
      digits: 2,
      height: 180,
    });
    if (signal.aborted || clearRate) clear();
    else clearRate = clear;
  }

  async function loadFigures() {
    timer = null;
    try {
      if (job.status === "completed" && sums === null) {
        sums = report = await api.report(id, signal); // small, and there at once
        drawSums();
        render(confidenceView(report.confidence), host("confidence"));
      }
      const figures = await api.figures(id, signal);
      sums = figures.sums;
      drawSums();
      await drawRate(figures.rate);
    } catch (error) {
      fail(error, host("job-failure"));
    }
  }

  function moved(found) {
    const wasEnded = job && ENDED.includes(job.status);
    job = found;
    drawHead();
    const ended = ENDED.includes(job.status);
    if (ended) {
      clearTimeout(timer);
      timer = null;
    }
    if (timer === null && !(wasEnded && ended)) {
      timer = setTimeout(
        () => {
          loadFigures();
          list.refresh();
        },
        ended || sums === null ? 0 : FIGURES_EVERY_MS,
      );
    }
  }

  function follow() {
    events?.close();
    events = api.events(id);
    const take = (event) => moved(JSON.parse(event.data));
    events.addEventListener("progress", take);
    events.onerror = () => fail(new OfflineError(id), host("job-failure"));
    events.addEventListener("end", (event) => {
      take(event);
      events.close();
    });
  }

  // A tab in the background holds no connection: browsers allow six to one host.
  function visibilityChanged() {
    if (document.hidden) events?.close();
    else if (job && !ENDED.includes(job.status)) refresh();
  }

  async function refresh() {
    try {
      moved(await api.job(id, signal));
      if (!ENDED.includes(job.status)) {
        sums = report = null;
        render(nothing, host("confidence"));
        follow();
      }
    } catch (error) {
      fail(error, host("job-failure"));
    }
  }

  function showQuestion(position) {
    closeQuestion?.();
    closeQuestion = null;
    if (position === undefined) return;
    closeQuestion = openQuestion({
      id,
      position: Number(position),
      neighbour: (step) => list.neighbour(Number(position), step),
      address: (other) => list.address(other),
      back: () => {
        location.hash = list.address(null);
      },
      fail,
    });
  }

  async function begin() {
    try {
      job = await api.job(id, signal);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) fail(error, main);
      else fail(error, host("job-failure"));
      return;
    }
    drawHead();
    list = questionList(host("questions"), {
      id,
      labelled: () => sums?.accuracy,
      calibrated: () => Boolean(report?.confidence?.calibration),
      parameters,
      signal,
      fail,
    });
    list.refresh();
    showQuestion(detail);
    if (!ENDED.includes(job.status)) follow();
    await loadFigures();
    if (!signal.aborted) list.redraw(); // with keys or without is known now
  }

  document.addEventListener("visibilitychange", visibilityChanged);
  begin();
  return {
    update: (next) => {
      if (!list) return;
      list.take(next.parameters);
      showQuestion(next.detail);
    },
    leave: () => {
      document.removeEventListener("visibilitychange", visibilityChanged);
      events?.close();
      clearTimeout(timer);
      clearRate?.();
      closeQuestion?.();
    },
  };
}
