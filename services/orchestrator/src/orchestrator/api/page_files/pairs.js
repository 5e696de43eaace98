// Pairs of text, written as key=value: shown as chips, and entered one at a time.
import { t } from "./i18n.js";
import { html, nothing } from "./ui.js";

// A pair as it is sent, or null if the text is none.
export function pairOf(text) {
  const [key, ...rest] = text.split("=");
  return key.trim() && rest.length ? `${key.trim()}=${rest.join("=").trim()}` : null;
}

export const pairsOf = (metadata) => Object.entries(metadata).map(([key, value]) => `${key}=${value}`);

export function metadataOf(pairs) {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [key, ...rest] = pair.split("=");
      return [key, rest.join("=")];
    }),
  );
}

// A field for one more pair, and a chip for each that is there. `take` gets the new list.
export function pairField({ id, label, pairs, take }) {
  function add(input) {
    const pair = pairOf(input.value);
    input.setCustomValidity(pair || !input.value.trim() ? "" : t("pairs.write"));
    if (!pair) return input.reportValidity();
    input.value = "";
    take([...pairs.filter((other) => other !== pair), pair]);
    return true;
  }
  function remove(pair, event) {
    const input = event.currentTarget.closest(".pair-field").querySelector("input");
    take(pairs.filter((other) => other !== pair));
    input.focus(); // the button is gone
  }
  function key(event) {
    if (event.key !== "Enter") return;
    event.preventDefault(); // the form is not sent yet
    add(event.currentTarget);
  }
  return html`
    <div class="pair-field">
      <label for=${id}>${label}</label>
      <input id=${id} autocomplete="off" autocapitalize="none" placeholder=${t("pairs.example")} enterkeyhint="done"
        @keydown=${key} @change=${(event) => add(event.currentTarget)} @input=${(event) => event.currentTarget.setCustomValidity("")}>
      ${
        pairs.length
          ? html`<div class="chips">${pairs.map(
              (pair) => html`
            <button type="button" class="chip pair" aria-label=${t("pairs.remove", { pair })}
              @click=${(event) => remove(pair, event)}><span>${pair}</span> ×</button>`,
            )}</div>`
          : nothing
      }
    </div>`;
}
