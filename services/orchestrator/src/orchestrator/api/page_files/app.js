// The page's frame: navigation, language, theme, sign-in, and which view the address names.
import { api, ApiError, OfflineError } from "./api.js";
import { language, setLanguage, t } from "./i18n.js";
import { failure, html, nothing, render } from "./ui.js";
import { compareView } from "./compare.js";
import { jobView } from "./job.js";
import { jobsView } from "./jobs.js";
import { modelView } from "./model.js";

const ROUTES = [
  [/^\/(?:jobs)?$/, jobsView, "jobs"],
  [/^\/jobs\/([^/]+)(?:\/questions\/(\d+))?$/, jobView, "jobs"],
  [/^\/compare$/, compareView, "compare"],
  [/^\/model(?:\/([0-9a-f]+))?$/, modelView, "model"],
];
const NOWHERE = [/^/, nowhereView, "nowhere"];
const OTHER_LANGUAGE = { en: "zh", zh: "en" };

const POLL_MS = 2000;

let waiting = null; // for an API that is away
let shownSection = "";
let current = null; // the view on show: {key, update, leave}
const SIGNED_IN = "quorum-signed-in"; // the cookie itself is out of reach for scripts

function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function setTheme(chosen) {
  document.documentElement.dataset.theme = chosen;
  localStorage.setItem("quorum-theme", chosen);
}

function frame(section) {
  shownSection = section;
  const link = (name, address) => html`
    <a href=${`/${address}`} aria-current=${section === name ? "page" : "false"}>${t(`nav.${name}`)}</a>`;
  render(
    html`
    <a class="skip" href="#main" @click=${skip}>${t("nav.skip")}</a>
    <header class="top">
      <a class="brand" href="/#/"><img src="/page/icon.svg" alt="" width="28" height="28">Quorum</a>
      <nav aria-label=${t("nav.label")}>
        ${link("jobs", "#/")}${link("compare", "#/compare")}${link("model", "#/model")}
      </nav>
      <div class="switches">
        <button lang=${OTHER_LANGUAGE[language]} @click=${switchLanguage}>${t("nav.language")}</button>
        <button @click=${switchTheme}>${t(theme() === "dark" ? "nav.light" : "nav.dark")}</button>
        ${sessionStorage.getItem(SIGNED_IN) ? html`<button @click=${signOut}>${t("nav.signout")}</button>` : nothing}
      </div>
    </header>
    <main id="main" tabindex="-1"></main>
    <div id="announcer" class="unseen" role="status"></div>`,
    document.body,
  );
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function switchLanguage() {
  setLanguage(OTHER_LANGUAGE[language]);
  restart();
}

function switchTheme() {
  setTheme(theme() === "dark" ? "light" : "dark");
  themeChanged();
}

// Nothing starts anew, so that what was typed stays: styles follow by themselves, curves listen.
function themeChanged() {
  frame(shownSection);
  document.dispatchEvent(new Event("themechange"));
}

async function signOut() {
  await api.signOut();
  sessionStorage.removeItem(SIGNED_IN);
  restart();
}

function restart() {
  current?.leave();
  current = null;
  show();
}

// The API serves this page at every path that nobody else has; only "/" has views.
function route(path) {
  const [pattern, view, section] =
    (location.pathname === "/" && ROUTES.find(([pattern]) => pattern.test(path))) || NOWHERE;
  const [, subject, detail] = pattern.exec(path);
  return { view, section, subject, detail };
}

function nowhereView(main) {
  const address = location.pathname === "/" ? location.hash : location.pathname;
  render(
    html`
    <h1>${t("nowhere.title")}</h1>
    <p>${t("nowhere.why")} <code>${address}</code></p>
    <p><a href="/#/">${t("nav.back")}</a></p>`,
    main,
  );
  return {};
}

function show() {
  const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
  const parameters = new URLSearchParams(query);
  const { view, section, subject, detail } = route(path);
  const key = view === nowhereView ? `nowhere ${path}` : `${section} ${view.name} ${subject || ""}`;
  if (current?.key === key) {
    current.update({ detail, parameters });
    return;
  }
  current?.leave();
  stopWaiting();
  frame(section);
  document.title = `${t(`nav.${section}`)} – Quorum`;
  const main = document.getElementById("main");
  render(nothing, main);
  const leaving = new AbortController();
  const started = view(main, { subject, detail, parameters, signal: leaving.signal, fail });
  current = {
    key,
    update: started.update || (() => {}),
    leave: () => {
      leaving.abort();
      started.leave?.();
      render(nothing, main);
    },
  };
}

// Views hand over what went wrong: a missing key asks for it, all else is shown at `host`. A view
// that lost the API begins anew when it is back.
function fail(error, host) {
  if (error.name === "AbortError") return;
  if (error instanceof OfflineError) waitForApi();
  if (error instanceof ApiError && error.status === 401) signIn();
  else if (error instanceof ApiError && error.status === 404)
    render(html`${failure(error)}<p><a href="/#/">${t("nav.back")}</a></p>`, host);
  else render(failure(error), host);
}

function waitForApi() {
  waiting ||= setInterval(async () => {
    try {
      await api.health();
    } catch {
      return; // still away
    }
    stopWaiting();
    restart();
  }, POLL_MS);
}

function stopWaiting() {
  clearInterval(waiting);
  waiting = null;
}

function signIn() {
  current?.leave();
  current = null;
  frame("");
  const main = document.getElementById("main");
  const draw = (error) =>
    render(
      html`
    <form class="card signin" @submit=${enter}>
      <h1>${t("key.title")}</h1>
      <p>${t("key.why")}</p>
      <label>${t("key.label")} <input name="key" type="password" autocomplete="current-password" required></label>
      ${error ? failure(error) : nothing}
      <div class="actions"><button class="primary">${t("key.enter")}</button></div>
    </form>`,
      main,
    );
  async function enter(event) {
    event.preventDefault();
    try {
      await api.signIn(new FormData(event.target).get("key"));
      sessionStorage.setItem(SIGNED_IN, "yes");
      restart();
    } catch (error) {
      draw(error);
    }
  }
  draw();
  main.querySelector("input").focus();
}

const remembered = localStorage.getItem("quorum-theme");
if (remembered) document.documentElement.dataset.theme = remembered;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
addEventListener("hashchange", show);
show();
