// What answers: its contract, where it comes from, how it was trained, and the models beside it.
import { api, ApiError } from "./api.js";
import { drawLines, smoothed } from "./curves.js";
import { moment, number, percent, said, size, t } from "./i18n.js";
import { bars, confirmed, failure, html, nothing, render } from "./ui.js";

const LENGTH_BINS = 12;

export function modelView(main, { subject, signal, fail }) {
  let served = null;
  let models = [];
  let trained = null;
  let missing = null;
  let curves = { smoothing: 0.6, log: false, time: false };
  let clear = [];
  let drawing = 0;

  const draw = () => {
    if (signal.aborted) return;
    render(
      html`
      <h1>${t("model.title")}</h1>
      <div id="model-failure"></div>
      ${missing ? failure(missing) : nothing}
      ${served ? state() : nothing}
      ${models.length ? published() : nothing}
      ${trained ? detail() : nothing}`,
      main,
    );
  };

  const state = () =>
    served.state === "ok"
      ? html`<p class="banner good" role="status">${t(served.contract ? "model.serving" : "model.foreign", { name: served.name })}</p>`
      : html`<p class="banner" role="status">${said(served.state, served.state_message)}</p>`;

  const published = () => html`
    <section class="card"><h2>${t("model.published")}</h2>
      <div class="scroll" tabindex="0" role="region" aria-label=${t("model.published")}><table class="list">
        <thead><tr>${["digest", "created", "base", "recipe", "size", "use"].map((name) => html`<th scope="col">${t(`model.${name}`)}</th>`)}</tr></thead>
        <tbody>${models.map(
          (model) => html`
          <tr class=${model.digest === trained?.digest ? "on-show" : ""}>
            <td><a href="#/model/${model.digest}"><code>${model.digest}</code></a></td>
            <td>${moment(model.created)}</td><td>${model.base_model}</td><td>${model.recipe}</td>
            <td class="num">${size(model.size_bytes)}</td>
            <td>${model.current ? html`<span class="badge completed">${t("model.current")}</span>` : html`<button @click=${() => makeCurrent(model)}>${t("model.make")}</button>`}</td>
          </tr>`,
        )}</tbody>
      </table></div>
      <p class="muted">${t("model.switch")}</p>
    </section>`;

  const detail = () => {
    const { contract } = trained;
    return html`
      <section class="card"><h2>${t("model.chain")}</h2><ol class="chain">${chain(contract).map(
        ([name, value, digest]) => html`
        <li><b>${t(`chain.${name}`)}</b><span>${value}</span>${digest ? html`<code title=${digest}>${digest.slice(0, 16)}</code>` : nothing}</li>`,
      )}</ol>
        <p class="muted">${t("model.versions")} ${Object.entries(contract.provenance.versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(", ")}</p>
      </section>
      ${
        trained.metrics.length
          ? html`
        <section class="card"><h2>${t("model.curves")}</h2>
          <div class="filters">
            <label>${t("curves.smoothing")} <input type="range" min="0" max="0.98" step="0.02" .value=${String(curves.smoothing)} @input=${(e) => redraw({ smoothing: Number(e.target.value) })}></label>
            <label class="flag"><input type="checkbox" ?checked=${curves.log} @change=${(e) => redraw({ log: e.target.checked })}> ${t("curves.log")}</label>
            <label>${t("curves.axis")} <select @change=${(e) => redraw({ time: e.target.value === "time" })}>
              <option value="step">${t("curves.step")}</option><option value="time">${t("curves.time")}</option></select></label>
          </div>
          <h3>${t("curves.loss")}</h3><div id="loss"></div>
          <h3>${t("curves.labels")}</h3><div id="labels"></div>
          <h3>${t("curves.rate")}</h3><div id="learning"></div>
        </section>`
          : nothing
      }
      ${trained.data ? data(trained.data) : nothing}
      <section class="card"><h2>${t("model.contract")}</h2><dl class="pairs">
        ${pair("style", t(`style.${contract.format.style}`))}${pair("dtype", contract.dtype)}
        ${pair("temperature", contract.sampling.temperature)}${pair("top_p", contract.sampling.top_p)}${pair("max_tokens", number(contract.sampling.max_tokens))}
        ${pair("answer_line", html`<code>${contract.format.answer_line}</code>`)}
        ${pair(
          "patterns",
          contract.format.label_patterns.map((pattern) => html`<code>${pattern}</code> `),
        )}
        ${pair("template_digest", html`<code>${contract.chat_template_sha256.slice(0, 16)}</code>`)}
        ${pair("probe", t("contract.tokens", { count: number(contract.probe.token_ids.length) }))}</dl>
        <h3>${t("contract.system")}</h3><pre tabindex="0">${contract.format.system_prompt || t("none")}</pre>
        <h3>${t("contract.user")}</h3><pre tabindex="0">${contract.format.user_template}</pre>
      </section>
      ${trained.verification ? generations(trained.verification) : nothing}`;
  };

  const pair = (name, value) => html`<div><dt>${t(`contract.${name}`)}</dt><dd>${value}</dd></div>`;

  const chain = ({ provenance, model, digest }) => [
    ["base", provenance.base_model, provenance.base_sha256],
    ["data", trained.data ? t("chain.questions", { count: number(trained.data.trained) }) : "", provenance.data_sha256],
    ["recipe", provenance.recipe, provenance.recipe_sha256],
    ...(provenance.adapter_sha256 ? [["adapter", t("chain.merged"), provenance.adapter_sha256]] : []),
    ["model", model, digest],
  ];

  const data = (report) => {
    const total = (keys) => Object.values(keys).reduce((a, b) => a + b, 0) || 1;
    const read = total(report.keys_read);
    const kept = total(report.keys_trained);
    const labels = [...new Set([...Object.keys(report.keys_read), ...Object.keys(report.keys_trained)])].sort();
    return html`
      <section class="card"><h2>${t("model.data")}</h2>
        <dl class="pairs">
          ${["read", "problems", "near_duplicate_problems", "repeated", "trained", "copies", "held_out", "leaking"]
            .filter((name) => report[name] !== undefined)
            .map((name) => html`<div><dt>${t(`data.${name}`)}</dt><dd>${number(report[name])}</dd></div>`)}
          ${Object.entries(report.dropped || {}).map(([reason, count]) => html`<div><dt>${t("data.dropped", { reason: said(reason, report.dropped_messages?.[reason]) })}</dt><dd>${number(count)}</dd></div>`)}
        </dl>
        <div class="charts">
          <div><h3>${t("data.keys")}</h3>${bars(
            t("data.keys"),
            labels.flatMap((label) => [
              {
                name: label,
                share: (report.keys_read[label] || 0) / read,
                text: t("data.asread", { share: percent((report.keys_read[label] || 0) / read) }),
                tone: "key",
              },
              {
                name: "",
                share: (report.keys_trained[label] || 0) / kept,
                text: t("data.astrained", { share: percent((report.keys_trained[label] || 0) / kept) }),
              },
            ]),
          )}</div>
          ${["prompt_tokens", "reply_tokens"]
            .filter((name) => report[name]?.length)
            .map(
              (name) => html`
            <div><h3>${t(`data.${name}`)}</h3>${bars(t(`data.${name}`), histogram(report[name]))}</div>`,
            )}
        </div>
      </section>`;
  };

  const generations = (check) => html`
    <section class="card"><h2>${t("model.generations")}</h2>
      ${check.comparison ? html`<p class="muted">${t("check.compared", { rows: number(check.comparison.rows), nats: number(check.comparison.nats, 5) })}</p>` : nothing}
      ${(check.replies || []).map(
        (reply) => html`
        <article class="sample ${reply.label === null ? "invalid" : reply.label === reply.key ? "right" : "wrong"}">
          <header><b>${reply.label ?? t("sample.invalid")}</b><small>${t("question.is.key")} ${reply.key} · ${said(reply.source, reply.source_message)}</small></header>
          <details><summary>${t("check.prompt")}</summary><pre>${(reply.messages || []).map((message) => message.content).join("\n\n")}</pre></details>
          <pre>${reply.text}</pre>
        </article>`,
      )}
    </section>`;

  async function makeCurrent(model) {
    if (!(await confirmed(t("ask.current", { digest: model.digest }), t("model.make")))) return;
    try {
      models = (await api.makeCurrent(model.digest)).data;
      served = await api.model(signal);
      draw();
    } catch (error) {
      fail(error, main.querySelector("#model-failure"));
    }
  }

  async function redraw(values) {
    curves = { ...curves, ...values };
    drawing += 1;
    const mine = drawing;
    const entries = trained.metrics;
    const at = (key) => entries.map((entry) => entry[key] ?? null);
    const x = curves.time ? at("elapsed_s") : at("step");
    const common = { x, xLabel: t(curves.time ? "curves.time" : "curves.step"), log: curves.log };
    const drawn = await Promise.all(
      [
        [
          "loss",
          {
            ...common,
            series: [
              { label: t("curves.training"), name: "one", values: smoothed(at("loss"), curves.smoothing) },
              { label: t("curves.validation"), name: "two", values: at("validation_loss"), points: true },
            ],
          },
        ],
        [
          "labels",
          {
            ...common,
            log: false,
            zero: true,
            height: 160,
            series: [{ label: t("curves.labels"), name: "two", values: at("label_accuracy"), points: true }],
          },
        ],
        [
          "learning",
          {
            ...common,
            log: false,
            height: 140,
            digits: 6,
            series: [{ label: t("curves.rate"), name: "one", values: at("learning_rate") }],
          },
        ],
      ].map(([name, options]) => drawLines(main.querySelector(`#${name}`), options)),
    );
    if (mine !== drawing || signal.aborted) {
      drawn.forEach((take) => take());
      return;
    }
    clear.forEach((take) => take());
    clear = drawn;
  }

  async function begin() {
    try {
      served = await api.model(signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 503) {
        fail(error, main);
        return;
      }
      missing = error; // nothing is published yet
    }
    try {
      models = (await api.models(signal)).data;
      const digest = subject || served?.digest || models[0]?.digest;
      if (digest) trained = await api.published(digest, signal);
      draw();
      if (trained?.metrics.length) await redraw({});
    } catch (error) {
      draw();
      fail(error, main.querySelector("#model-failure"));
    }
  }

  begin();
  return { leave: () => clear.forEach((take) => take()) };
}

function histogram(lengths) {
  const [least, most] = lengths.reduce(([low, high], one) => [Math.min(low, one), Math.max(high, one)], [Infinity, 0]);
  const width = Math.ceil((most - least + 1) / LENGTH_BINS);
  const counts = new Array(Math.ceil((most - least + 1) / width)).fill(0);
  lengths.forEach((length) => {
    counts[Math.floor((length - least) / width)] += 1;
  });
  const highest = Math.max(...counts);
  const edge = (i) => least + i * width;
  return counts.map((count, i) => ({
    name: `${number(edge(i))} – ${number(edge(i + 1) - 1)}`,
    share: count / highest,
    text: number(count),
  }));
}
