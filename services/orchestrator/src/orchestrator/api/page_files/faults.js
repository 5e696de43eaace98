// The faults of a refused file: where each is, and, if it names ways to read the file, a button for each.
import { number, said, t } from "./i18n.js";
import { html, nothing } from "./vendor/lit-html.js";

// Names as a message has them; a sentence in their place says that there are none.
const listed = (names) => (typeof names === "string" ? names.split(", ") : []);

// Which form field would settle a refusal, and the values that it names, by the refusal's code.
const WAYS = {
  "several-shapes": ({ names }) => ["shape", listed(names)],
  "file-is-encoded": ({ encoding }) => ["encoding", [encoding]],
  "index-base-both": () => ["index_base", ["0", "1"]],
  "index-base-unknown": () => ["index_base", ["0", "1"]],
  "keys-number-or-other": () => ["index_base", ["0", "1"]],
  "several-columns": ({ part, columns }) => ["columns", listed(columns).map((column) => `${part}=${column}`)],
  "no-column-for": ({ part, columns }) => ["columns", listed(columns).map((column) => `${part}=${column}`)],
  "several-sources": ({ names }) => ["columns", names.split("; ").map(optionsFrom)],
};

// Options are in one column, or in a column for each label.
function optionsFrom(source) {
  const columns = listed(source);
  if (columns.length === 1) return `options=${source}`;
  return columns.map((column, i) => `${String.fromCharCode(65 + i)}=${column}`).join(" ");
}

// `choose` gets the form field and the value that were picked; without it there are no buttons.
export function faultList(error, choose) {
  const unsaid = error.faultCount - error.faults.length;
  const ofFile = error.faults.every((fault) => fault.unit === "file");
  return html`
    ${ofFile ? error.faults.map((fault) => html`<p>${reason(fault, choose)}</p>`) : table(error.faults, choose)}
    ${unsaid > 0 ? html`<p>${t(error.stopped ? "fault.more.least" : "fault.more", { count: number(unsaid) })}</p>` : nothing}
    <p>${t("fault.nothing")}</p>`;
}

const table = (faults, choose) => html`
  <table class="faults">
    <thead><tr><th>${t("fault.where")}</th><th>${t("fault.place")}</th><th>${t("fault.reason")}</th></tr></thead>
    <tbody>${faults.map(
      (fault) => html`
      <tr><td class="where">${t(`fault.at.${fault.unit}`, { number: number(fault.line) })}</td><td><code>${fault.place || "–"}</code></td>
        <td>${reason(fault, choose)}</td></tr>`,
    )}
    </tbody>
  </table>`;

function reason(fault, choose) {
  const [field, values] = (choose && WAYS[fault.reason_message.code]?.(fault.reason_message.params)) || [null, []];
  return html`${said(fault.reason, fault.reason_message)}${
    values.length
      ? html`<span class="ways" role="group" aria-label=${t("fault.choose")}>${t("fault.choose")} ${values.map(
          (value) => html`
        <button type="button" class="chip" @click=${() => choose(field, value)}>${field === "columns" ? value : `${field}=${value}`}</button>`,
        )}</span>`
      : nothing
  }`;
}
