// Which jobs the list shows. The filters stand in the page's address, so that a list can be shared.
import { t } from "./i18n.js";
import { pairField } from "./pairs.js";
import { html, nothing, render } from "./ui.js";

const STATUSES = ["in_progress", "finalizing", "completed", "failed", "cancelling", "cancelled"];
const TYPING_MS = 250;

// What the address says, also what the API will refuse: it names the fault.
export const readFilters = (words) => ({
  name: words.get("name") || "",
  filename: words.get("filename") || "",
  metadata: words.getAll("metadata"),
  status: words.getAll("status"),
});

export function writtenFilters({ name = "", filename = "", metadata = [], status = [] }) {
  const words = new URLSearchParams();
  if (name.trim()) words.set("name", name.trim());
  if (filename.trim()) words.set("filename", filename.trim());
  for (const pair of metadata) words.append("metadata", pair);
  for (const one of status) words.append("status", one);
  return words;
}

export const areNone = (filters) => writtenFilters(filters).size === 0;

export function listAddress(filters) {
  const words = writtenFilters(filters).toString();
  return `#/${words ? `?${words}` : ""}`;
}

// Draws the filters in `host`; `take` gets each change. Returns what shows other ones.
export function filterBar(host, filters, take) {
  let typing;

  const draw = () =>
    render(
      html`
      <form class="card job-filters" role="search" aria-label=${t("jobs.filters")} @submit=${(event) => event.preventDefault()}>
        <label>${t("jobs.filter.name")}
          <input type="search" id="filter-name" .value=${filters.name} @input=${(event) => type({ name: event.target.value })}></label>
        <label>${t("jobs.filter.filename")}
          <input type="search" id="filter-filename" .value=${filters.filename} @input=${(event) => type({ filename: event.target.value })}></label>
        ${pairField({
          id: "filter-pair",
          label: t("jobs.filter.metadata"),
          pairs: filters.metadata,
          take: (metadata) => change({ metadata }),
        })}
        <div class="chips statuses" role="group" aria-label=${t("jobs.filter.status")}>${STATUSES.map(
          (name) => html`
          <button type="button" class="chip" aria-pressed=${filters.status.includes(name)} @click=${() => toggle(name)}>${t(`status.${name}`)}</button>`,
        )}
          ${areNone(filters) ? nothing : html`<button type="button" @click=${clear}>${t("jobs.filter.clear")}</button>`}
        </div>
      </form>`,
      host,
    );

  function change(values) {
    clearTimeout(typing);
    filters = { ...filters, ...values };
    draw();
    take(filters);
  }
  function type(values) {
    filters = { ...filters, ...values };
    clearTimeout(typing);
    typing = setTimeout(() => change({}), TYPING_MS);
  }
  function toggle(name) {
    const { status } = filters;
    change({ status: status.includes(name) ? status.filter((other) => other !== name) : [...status, name] });
  }
  function clear() {
    change(readFilters(new URLSearchParams()));
    host.querySelector("#filter-name").focus(); // the button is gone
  }

  draw();
  return {
    clear,
    show: (others) => {
      clearTimeout(typing);
      filters = others;
      draw();
    },
  };
}
