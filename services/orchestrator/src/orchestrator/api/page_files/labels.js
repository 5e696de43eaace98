// Labels of options, one chip for each: an answer, a key, or the set of a vote ("AC").
import { t } from "./i18n.js";
import { html, nothing } from "./ui.js";

// With a key, each label of an answer says if it is one of the key's.
export function labelChips(labels, key = null) {
  const tone = (label) => (key === null ? "" : key.includes(label) ? "right" : "wrong");
  return html`<span class="labels">${[...labels].map(
    (label) =>
      html`<span class="label ${tone(label)}" title=${tone(label) ? t(`label.${tone(label)}`) : nothing}>${label}</span>`,
  )}</span>`;
}

// Right or wrong as the API counts it: one label of several is enough if one was asked for.
export function isRight(labels, key, multiple) {
  return multiple ? labels === key : key.includes(labels);
}
