// The form that posts a file as a new job. Its fields are those of the API's own form.
import { api, ApiError, OfflineError, submit } from "./api.js";
import { number, t } from "./i18n.js";
import { metadataOf, pairField } from "./pairs.js";
import { announce, failure, html, nothing, render } from "./ui.js";

// What a file is recognized by is its content; this only sorts the files in the browser's dialog.
const ACCEPTED = ".jsonl,.json,.csv,.tsv,.parquet,.txt,.gz,.zst";

export function uploadForm(host, { signal, fail }) {
  let file = null;
  let fields = {}; // the JSON Schema of each
  let pairs = [];
  let sending = null; // the share sent
  let refusal = null;

  const draw = () =>
    !signal.aborted &&
    render(
      html`
    <form class="card upload" @submit=${post} @dragover=${hover} @dragleave=${unhover} @drop=${drop} aria-label=${t("upload.label")}>
      <div class="dropzone">
        <label class="button primary" for="upload-file">${t("upload.choose")}</label>
        <input class="unseen" id="upload-file" name="file" type="file" accept=${ACCEPTED} @change=${choose}>
        <span>${file ? html`<strong>${file.name}</strong> (${number(file.size / 1024, 0)} KiB)` : t("upload.drop")}</span>
        <button class="primary" ?disabled=${!file || sending !== null}>${t("upload.post")}</button>
      </div>
      ${sending === null ? nothing : html`<progress max="1" .value=${sending} aria-label=${t("upload.sending")}></progress>`}
      <div class="naming">
        <label>${t("upload.name")} <input name="name" maxlength=${fields.name?.maxLength ?? nothing} autocomplete="off" placeholder=${t("upload.name.why")}></label>
        ${pairField({ id: "upload-pair", label: t("upload.metadata"), pairs, take: takePairs })}
      </div>
      <details>
        <summary>${t("upload.settings")}</summary>
        <div class="fields">${shown().map(([name, schema]) => setting(name, schema))}</div>
      </details>
      ${refusal ? failure(refusal) : nothing}
    </form>`,
      host,
    );

  const shown = () => Object.entries(fields).filter(([name]) => name !== "name" && name !== "metadata");

  // A field as its JSON Schema has it: a flag, a choice of words, or a number that may be left empty.
  function setting(name, schema) {
    if (schema.type === "boolean") return flag(name, schema.default);
    if (schema.enum) return choice(name, [schema.default, ...schema.enum.filter((value) => value !== schema.default)]);
    const optional = schema.default === undefined;
    const { type, minimum, maximum, exclusiveMaximum } = schema;
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

  // A key has one value: the last that was entered.
  function takePairs(list) {
    pairs = Object.entries(metadataOf(list)).map(([key, value]) => `${key}=${value}`);
    draw();
  }
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
    host.querySelector("#upload-file").files = event.dataTransfer.files;
    [file] = event.dataTransfer.files;
    refusal = null;
    draw();
  }

  // What was left empty is not sent: then the model's own value holds, or the API's default.
  function filledIn(form) {
    const data = new FormData(form);
    for (const [name, schema] of Object.entries(fields)) {
      if (schema.type === "boolean") data.set(name, String(data.has(name)));
      else if (!data.get(name)?.trim()) data.delete(name);
    }
    if (pairs.length) data.set("metadata", JSON.stringify(metadataOf(pairs)));
    return data;
  }

  async function post(event) {
    event.preventDefault();
    if (!file) return;
    refusal = null;
    try {
      const job = await submit(filledIn(event.target), (share) => {
        sending = share;
        draw();
      });
      announce(t("upload.accepted"));
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof OfflineError)) throw error;
      if (error.status === 401) fail(error, host);
      refusal = error;
    }
    sending = null;
    draw();
  }

  draw();
  api.jobForm(signal).then(
    (found) => {
      fields = found;
      draw();
    },
    (error) => signal.aborted || fail(error, host),
  );
}
