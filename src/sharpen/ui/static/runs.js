// The list of runs, live: filters, search, ticks to compare.

import { Refused, get, listen } from "./api.js";
import { refused } from "./app.js";
import { fill, h, patch, since, table } from "./dom.js";
import { count, interval, stateWords, withoutFolders } from "./format.js";

const STATES = ["running", "done", "budget", "unfinished", "empty", "unreadable"];
// What a run came to stands before what it is made of: a narrow screen shows it without being moved.
const COLUMNS = ["", "state", "run", "gain", "test score after", "recipe", "task", "model", "seed", "steps", "changed"];
const ticked = new Set();

export const runAddress = (name, tab = "", fields = {}) => {
  const query = new URLSearchParams(fields);
  return `#/run/${encodeURIComponent(name)}${tab && `/${tab}`}${query.size ? `?${query}` : ""}`;
};

export async function showRuns(main, fields, signal) {
  document.title = "Runs - Sharpen";
  const asked = { q: fields.get("q") ?? "", state: fields.get("state") ?? "", begin: Number(fields.get("begin") ?? 0) };
  const found = h("p", { class: "muted", role: "status" });
  const list = table("Runs", COLUMNS, []);
  const pages = h("nav", { class: "pages", "aria-label": "Pages of the list" });
  const compare = h("a", { class: "button" }, "Compare");
  const view = { asked, found, body: list.querySelector("tbody"), pages, compare };
  fill(main, h("h1", { tabindex: -1 }, "Runs"), filters(asked), h("div", { class: "line" }, found, compare), list, pages);
  update(view, await get("runs", asked, signal));
  listen("runs/events", asked, signal, (page) => update(view, page),
    (text, error) => refused(error instanceof Refused ? error : new Error(text)));
}

function filters(asked) {
  const go = (begin = 0) => {
    const query = new URLSearchParams(Object.entries({ q: search.value, state: state.value, begin: begin || "" }).filter(([, value]) => value));
    location.hash = `#/${query.size ? `?${query}` : ""}`;
  };
  const search = h("input", { type: "search", id: "q", value: asked.q, placeholder: "name, recipe, task, model, seed=0" });
  const state = h("select", { id: "state", onchange: () => go() },
    h("option", { value: "" }, "every state"), STATES.map((name) => h("option", { value: name, selected: name === asked.state }, name)));
  return h("form", { class: "filters", role: "search", onsubmit: (event) => { event.preventDefault(); go(); } },
    h("span", {}, h("label", { for: "q" }, "Search"), search), h("span", {}, h("label", { for: "state" }, "State"), state), h("button", {}, "Search"));
}

function update(view, page) {
  const states = Object.entries(page.states).filter(([, many]) => many).map(([state, many]) => `${many} ${state}`);
  view.found.textContent = page.total
    ? `${count(page.found)} of ${count(page.total)} runs; ${states.join(", ")}`
    : "There is no run here yet: `sharpen quickstart` makes two.";
  patch(view.body, page.items.map((card) => row(view, card)));
  turnPages(view, page);
  offerCompare(view.compare);
}

function row(view, card) {
  const tick = h("input", {
    type: "checkbox", "aria-label": `compare ${card.name}`, checked: ticked.has(card.name),
    onchange: ({ target }) => { (target.checked ? ticked.add(card.name) : ticked.delete(card.name)); offerCompare(view.compare); },
  });
  return h("tr", { "data-key": card.name },
    h("td", {}, tick),
    h("td", { class: `state ${card.state}` }, stateWords(card)),
    h("th", { scope: "row", class: "name" }, h("a", { href: runAddress(card.name) }, card.name)),
    h("td", { class: "number score" }, interval(card.delta, true)),
    h("td", { class: "number score" }, interval(card.after)),
    ...[card.recipe, card.task, card.model].map((text) => h("td", { class: "short", title: text }, withoutFolders(text))),
    h("td", { class: "number" }, card.state === "empty" || card.state === "unreadable" ? "" : card.seed),
    h("td", { class: "number" }, card.rows ? count(card.rows) : card.problem),
    h("td", { class: "number" }, since(card.changed)));
}

function turnPages({ asked, pages }, page) {
  const to = (begin, text) => {
    const query = new URLSearchParams(Object.entries({ ...asked, begin }).filter(([, value]) => value));
    return h("a", { class: "button", href: `#/${query.size ? `?${query}` : ""}` }, text);
  };
  const next = asked.begin + page.items.length;
  patch(pages, asked.begin > 0 && to(Math.max(0, asked.begin - 100), "Newer"), next < page.found && to(next, "Older"));
}

function offerCompare(link) {
  const many = ticked.size;
  link.textContent = many < 2 ? "Tick two or more runs to compare them" : `Compare ${many} runs`;
  link.classList.toggle("off", many < 2);
  if (many < 2) link.removeAttribute("href");
  else link.setAttribute("href", `#/compare?${new URLSearchParams([...ticked].map((name) => ["run", name]))}`);
}
