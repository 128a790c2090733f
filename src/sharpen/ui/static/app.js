// Which view the address means; one view at a time, and its streams end with it.

import { Refused, setToken, takeToken } from "./api.js";
import { showAttempt } from "./attempt.js";
import { showCompare } from "./compare.js";
import { fill, h } from "./dom.js";
import { ago } from "./format.js";
import { showRun } from "./run.js";
import { showRuns } from "./runs.js";

const main = document.getElementById("main");
let current = new AbortController();
let place = "";

// "#/run/NAME/TAB?row=1" -> {words: ["run", "NAME", "TAB"], fields}
function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { words: path.split("/").filter(Boolean).map(decodeURIComponent), fields: new URLSearchParams(query) };
}

function view({ words: [kind, name, tab], fields }, signal) {
  if (kind === "compare") return showCompare(main, fields, signal);
  if (kind === "run" && name && tab === "attempt") return showAttempt(main, name, fields, signal);
  if (kind === "run" && name) return showRun(main, name, tab ?? "overview", fields, signal);
  return showRuns(main, fields, signal);
}

export function refused(error) {
  if (error instanceof Refused && error.status === 401) askToken();
  else fill(main, h("h1", { tabindex: -1 }, "This cannot be shown"), h("p", {}, error.message), h("p", {}, h("a", { href: "#/" }, "All runs")));
}

function askToken() {
  const input = h("input", { id: "token", autocomplete: "off", spellcheck: "false", required: true });
  const take = (event) => { event.preventDefault(); setToken(input.value); show(); };
  fill(main, h("h1", { tabindex: -1 }, "Token"),
    h("p", {}, "This page shows nothing without the token that ", h("code", {}, "sharpen ui"), " printed when it began."),
    h("form", { onsubmit: take }, h("label", { for: "token" }, "Token "), input, " ", h("button", {}, "Go on")));
  input.focus();
}

async function show() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  try {
    await view(route(), signal);
  } catch (error) {
    if (!signal.aborted) refused(error);
  }
  const now = location.hash.split("?")[0];
  if (!signal.aborted && place && place !== now) main.querySelector("h1")?.focus();
  place = now;
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("sharpen-theme", root.dataset.theme);
}

document.getElementById("theme").addEventListener("click", switchTheme);
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => { takeToken(); show(); });
setInterval(() => main.querySelectorAll("[data-epoch]").forEach((each) => { each.textContent = ago(Number(each.dataset.epoch)); }), 5000);
takeToken();
show();
