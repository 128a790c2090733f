// The attempts of a run, the newest first, a page at a time.

import { get } from "./api.js";
import { fill, h, oneLine, table } from "./dom.js";
import { count, percent } from "./format.js";
import { runAddress } from "./runs.js";

const OUTCOMES = ["right", "part", "wrong", "rejected", "error", "unknown"];
const SIGNS = { right: "✓", part: "◐", wrong: "✗", rejected: "⊘", error: "!", unknown: "?" };
const COLUMNS = ["verdict", "attempt", "step", "task", "tokens", "ended by", "temperature"];

export const verdictWords = (line) =>
  `${SIGNS[line.outcome]} ${line.outcome === "part" ? percent(line.value) : line.outcome}`;

export async function showAttempts(body, name, fields, signal) {
  const asked = { run: name, task: fields.get("task") ?? "", outcome: fields.get("outcome") ?? "" };
  const list = table("Attempts, the newest first", COLUMNS, []);
  const rows = list.querySelector("tbody");
  const more = h("button", { type: "button" }, "Older attempts");
  const told = h("p", { class: "muted", role: "status" });
  fill(body, h("h2", {}, "Attempts"), filters(name, asked), told, list, more);
  let next = { row: 0, place: 0 };
  const load = async () => {
    more.disabled = true;
    let page = await get("run/attempts", { ...asked, ...next }, signal);
    // A page looks for a bounded time: where few attempts fit, the next ones follow by themselves for a while.
    for (let tries = 0; !page.items.length && page.row !== null && tries < 10; tries += 1) {
      told.textContent = `looking; at step ${count(page.row)}`;
      page = await get("run/attempts", { ...asked, row: page.row, place: page.place }, signal);
    }
    rows.append(...page.items.map((line) => row(name, line)));
    next = { row: page.row, place: page.place };
    more.disabled = false;
    more.hidden = page.row === null;
    told.textContent = `${count(rows.rows.length)} shown${page.row === null ? "; these are all" : `; looked back to step ${count(page.row)}`}`;
  };
  more.addEventListener("click", load);
  await load();
}

function filters(name, asked) {
  const task = h("input", { id: "task", value: asked.task, placeholder: "start of its key" });
  const outcome = h("select", { id: "outcome" }, h("option", { value: "" }, "every verdict"),
    OUTCOMES.map((kind) => h("option", { value: kind, selected: kind === asked.outcome }, kind)));
  const go = (event) => {
    event.preventDefault();
    const query = Object.fromEntries(Object.entries({ task: task.value.trim(), outcome: outcome.value }).filter(([, value]) => value));
    location.hash = runAddress(name, "attempts", query);
  };
  return h("form", { class: "filters", onsubmit: go }, h("span", {}, h("label", { for: "task" }, "Task"), task),
    h("span", {}, h("label", { for: "outcome" }, "Verdict"), outcome), h("button", {}, "Show"));
}

function row(name, line) {
  return h("tr", {},
    h("td", { class: `verdict ${line.outcome}` }, verdictWords(line)),
    h("th", { scope: "row", class: "start" }, h("a", { href: runAddress(name, "attempt", { row: line.row, place: line.place }) }, oneLine(line.start, 90) || "(nothing)")),
    h("td", {}, line.step),
    h("td", {}, h("a", { href: runAddress(name, "attempts", { task: line.task }) }, line.task), line.index > 0 && ` #${line.index}`),
    h("td", { class: "number" }, count(line.tokens)), h("td", {}, line.stop), h("td", { class: "number" }, line.temperature));
}
