// What several views share: the elements of lit, bars, dialogs, and how a failure is shown.
import { html, nothing, render, svg } from "./vendor/lit-html.js";
import { ApiError, OfflineError } from "./api.js";
import { faultList } from "./faults.js";
import { knows, percent, said, t } from "./i18n.js";

export { html, nothing, render, svg };

const LONGEST_TEXT = 12;

export const status = (job) => html`<span class="badge ${job.status}">${t(`status.${job.status}`)}</span>`;

// `choose` is for the buttons of a refused file (faults.js).
export function failure(error, choose) {
  if (error instanceof OfflineError) return html`<p class="banner bad" role="alert">${t("offline")}</p>`;
  if (!(error instanceof ApiError)) throw error;
  return html`
    <div class="banner bad" role="alert">
      <strong>${heading(error)}</strong>
      ${error.faults.length ? faultList(error, choose) : error.message ? html`<p>${said(error.message, error.coded)}</p>` : nothing}
    </div>`;
}

// The kind of failure in the page's language. One without a kind may come from a proxy.
const heading = ({ kind, status }) =>
  knows(`problem.${kind}`) ? t(`problem.${kind}`) : t("failure.other", { status });

// Rows of {name, value, share, low, high, tone, text}: a bar of `share` (0 to 1), where `low` and
// `high` are given with the interval upon it. On a phone, long names and texts take two lines.
export function bars(caption, rows) {
  const isLong = rows.some((row) => row.text.length > LONGEST_TEXT);
  return html`
    <table class="bars ${isLong ? "long" : ""}">
      <caption class="unseen">${caption}</caption>
      <tbody>${rows.map(
        (row) => html`
        <tr class=${row.tone || ""}>
          <th scope="row">${row.name}</th>
          <td class="bar"><svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
            <rect class="track" width="100" height="12"></rect>
            <rect class="fill" width=${100 * row.share} height="12"></rect>
            ${
              row.low === undefined
                ? nothing
                : svg`
              <rect class="whisker" x=${100 * row.low} width=${Math.max(0.4, 100 * (row.high - row.low))} y="5" height="2"></rect>`
            }
          </svg></td>
          <td class="num">${row.text}</td>
        </tr>`,
      )}
      </tbody>
    </table>`;
}

export const tile = (name, value, note) => html`
  <div class="tile"><strong>${value}</strong><span>${t(name)}</span>${note ? html`<small>${note}</small>` : nothing}</div>`;

export const interval = (a) => `${percent(a.value)} (${percent(a.low)} – ${percent(a.high)})`;

// Ask before something is done; resolves to whether it shall be.
export function confirmed(question, yes) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.className = "confirm";
    dialog.setAttribute("aria-labelledby", "confirm-question");
    render(
      html`
      <form method="dialog">
        <p id="confirm-question">${question}</p>
        <div class="actions">
          <button value="no" autofocus>${t("no")}</button>
          <button value="yes" class="danger">${yes}</button>
        </div>
      </form>`,
      dialog,
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function announce(words) {
  document.getElementById("announcer").textContent = words;
}

export async function copyLink(button) {
  if (!navigator.clipboard) {
    prompt(t("question.link"), location.href); // no clipboard on plain HTTP; the text is selected there
    return;
  }
  await navigator.clipboard.writeText(location.href);
  announce(t("copied"));
  button.textContent = t("copied");
}
