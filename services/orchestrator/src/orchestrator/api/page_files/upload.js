// The form that posts a file as a new job. Its fields are those of the API's own form.
import { api, ApiError, OfflineError, submit } from "./api.js";
import { knows, said, size, t } from "./i18n.js";
import { metadataOf, pairField } from "./pairs.js";
import { announce, failure, html, nothing, render } from "./ui.js";

// What a file is recognized by is its content; this only sorts the files in the browser's dialog.
const ACCEPTED = ".jsonl,.json,.csv,.tsv,.parquet,.txt,.gz,.zst";

const OF_THEIR_OWN = ["name", "metadata"];
// How the file is to be read, if it is not recognized as it was meant.
const READING = ["shape", "encoding", "columns", "index_base"];

export function uploadForm(host, { signal, fail }) {
  let file = null;
  let fields = {}; // the JSON Schema of each
  let panels = []; // the names of those that a job may name
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
        <span>${file ? html`<strong>${file.name}</strong> (${size(file.size)})` : t("upload.drop")}</span>
        <button class="primary" ?disabled=${!file || sending !== null}>${t("upload.post")}</button>
      </div>
      ${sending === null ? nothing : html`<progress max="1" .value=${sending} aria-label=${t("upload.sending")}></progress>`}
      <div class="naming">
        <label>${t("upload.name")} <input name="name" maxlength=${fields.name?.maxLength ?? nothing} autocomplete="off" placeholder=${t("upload.name.why")}></label>
        ${pairField({ id: "upload-pair", label: t("upload.metadata"), pairs, take: takePairs })}
      </div>
      <details>
        <summary>${t("upload.settings")}</summary>
        <div class="fields">${settings().map((name) => setting(name, fields[name]))}</div>
      </details>
      <details class="reading">
        <summary>${t("upload.reading")}</summary>
        <p class="muted">${t("upload.reading.why")}</p>
        <div class="fields">${READING.filter((name) => fields[name]).map((name) => setting(name, fields[name]))}</div>
      </details>
      ${refusal ? failure(refusal, readAs) : nothing}
    </form>`,
      host,
    );

  const settings = () => Object.keys(fields).filter((name) => !OF_THEIR_OWN.includes(name) && !READING.includes(name));

  // A field as its JSON Schema has it: a flag, a choice, a text or a number. Without a default it may be left empty.
  function setting(name, schema) {
    if (schema.type === "boolean") return flag(name, schema.default);
    if (name === "panel") return panels.length ? choice(name, panels) : nothing;
    if (schema.enum) return choice(name, schema.enum, schema.default);
    if (name === "index_base") return choice(name, ["0", "1"]);
    if (schema.type === "string")
      return field(name, html`<input name=${name} autocomplete="off" placeholder=${t(`setting.${name}.example`)}>`);
    return field(name, numberInput(name, schema));
  }

  function numberInput(name, { type, minimum, maximum, exclusiveMaximum, default: given }) {
    const most = maximum ?? (exclusiveMaximum ? exclusiveMaximum - 1 : nothing);
    return html`<input name=${name} type="number" min=${minimum ?? 0} max=${most} step=${type === "integer" ? 1 : "any"}
      value=${given ?? ""} ?required=${given !== undefined} placeholder=${given === undefined ? emptyWords(name) : nothing}>`;
  }

  const emptyWords = (name) => t(knows(`setting.${name}.empty`) ? `setting.${name}.empty` : "setting.model");

  const field = (name, input) => html`
    <label><span>${t(`setting.${name}`)}</span>${input}<small>${t(`setting.${name}.why`)}</small></label>`;
  const choice = (name, values, given = "") =>
    field(
      name,
      html`
    <select name=${name}>${[given, ...values.filter((value) => value !== given)].map(
      (value) => html`<option value=${value}>${optionWords(name, value)}</option>`,
    )}</select>`,
    );
  // Words, or the value itself: encodings and numbers have none, nor a shape that is new to the page.
  function optionWords(name, value) {
    if (name === "panel") return value || t("none");
    if (value === "") return t("setting.recognized");
    const key = name === "shape" ? `shape.${value}` : `setting.${value}`;
    return knows(key) ? t(key) : value;
  }
  const flag = (name, checked) => html`
    <label class="flag"><input type="checkbox" name=${name} ?checked=${checked}><span>${t(`setting.${name}`)}</span>
      <small>${t(`setting.${name}.why`)}</small></label>`;

  // A key has one value: the last that was entered.
  function takePairs(list) {
    pairs = Object.entries(metadataOf(list)).map(([key, value]) => `${key}=${value}`);
    draw();
  }
  // A refusal named this way to read the file, and it was picked.
  async function readAs(name, value) {
    await known;
    const form = host.querySelector("form");
    const input = form?.elements.namedItem(name);
    if (!input) return; // the fields never came, and the page says so
    input.value = name === "columns" ? withColumns(input.value, value) : value;
    const reading = host.querySelector(".reading");
    reading.open = true;
    reading.querySelector("summary").focus(); // the button will be gone
    form.requestSubmit();
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
    for (const [name, value] of [...data]) {
      if (typeof value === "string" && !value.trim()) data.delete(name);
    }
    for (const [name, schema] of Object.entries(fields)) {
      if (schema.type === "boolean") data.set(name, String(data.has(name)));
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
      announce(`${t("upload.accepted")} ${said(job.recognized, job.recognized_message)}`);
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
  const known = Promise.all([api.jobForm(signal), api.panels(signal)]).then(
    ([form, found]) => {
      fields = form;
      panels = found.data.filter((panel) => panel.fault === null).map((panel) => panel.name);
      draw();
    },
    (error) => signal.aborted || fail(error, host),
  );
}

// Parts of the same name take the place of earlier ones; a column's name ends where the next part begins.
function withColumns(before, added) {
  const parts = (text) =>
    text
      .trim()
      .split(/\s+(?=\w+=)/)
      .filter(Boolean);
  const name = (part) => part.split("=")[0];
  const names = parts(added).map(name);
  return [...parts(before).filter((part) => !names.includes(name(part))), ...parts(added)].join(" ");
}
