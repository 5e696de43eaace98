// The page's languages: words by key, and the API's own sentences by code.
import { en } from "./words/en.js";
import { zh } from "./words/zh.js";
import { sentences } from "./words/zh_sentences.js";

const WORDS = { en, zh };
const SENTENCES = { en: {}, zh: sentences }; // English comes with the reply
const HAN = /\p{Script=Han}/u;
const LOCALES = { en: "en", zh: "zh-CN" };

function preferred() {
  const chosen = localStorage.getItem("quorum-language");
  if (chosen in WORDS) return chosen;
  return (navigator.languages || []).map((l) => l.slice(0, 2).toLowerCase()).find((l) => l in WORDS) || "en";
}

export let language = preferred();
document.documentElement.lang = LOCALES[language];

export function setLanguage(chosen) {
  localStorage.setItem("quorum-language", chosen);
  language = chosen;
  document.documentElement.lang = LOCALES[chosen];
}

export function t(key, values = {}) {
  const words = WORDS[language][key];
  if (words === undefined) throw new Error(`no words for ${key} in ${language}`);
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const knows = (key) => key in WORDS[language];

// A sentence of the API's in the page's language: `text` is the English one, `message` its code and parameters.
export function said(text, message) {
  const words = SENTENCES[language][message?.code];
  if (words === undefined) return text ?? "";
  // spaces set off values in Chinese text, but not a sentence that is Chinese itself
  return words.replace(/( ?)\{(\w+)\}( ?)/g, (_, before, name, after) => {
    const value = message.params[name];
    const told = inWords(name, value);
    if (!value?.code) return `${before}${told}${after}`;
    return `${HAN.test(told[0]) ? "" : before}${told}${HAN.test(told.at(-1)) ? "" : after}`;
  });
}

function inWords(name, value) {
  if (value?.code) return said(value.text, value);
  return name === "status" ? t(`status.${value}`) : value;
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(LOCALES[language], { maximumFractionDigits: digits }).format(value);

export const percent = (value, digits = 1) =>
  new Intl.NumberFormat(LOCALES[language], { style: "percent", maximumFractionDigits: digits }).format(value);

export const moment = (iso) =>
  new Intl.DateTimeFormat(LOCALES[language], { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return t("time.s", { s });
  if (s < 3600) return t("time.min", { min: Math.floor(s / 60), s: s % 60 });
  return t("time.h", { h: Math.floor(s / 3600), min: Math.floor((s % 3600) / 60) });
}

export function size(bytes) {
  if (bytes < 2 ** 10) return `${number(bytes)} B`;
  return bytes < 2 ** 20 ? `${number(bytes / 2 ** 10)} KiB` : `${number(bytes / 2 ** 20, 1)} MiB`;
}
