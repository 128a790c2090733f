// A run's page: what is known of it, live, under tabs.

import { Refused, get, listen, post } from "./api.js";
import { refused } from "./app.js";
import { showAttempts } from "./attempts.js";
import { showChanges } from "./changes.js";
import { facts, fill, foreign, h, patch, say, since, table } from "./dom.js";
import { count, interval, number, seconds, stateWords, words } from "./format.js";
import { Plots } from "./plots.js";
import { runAddress } from "./runs.js";
import { showLineage, showTrees } from "./trees.js";

const TABS = ["overview", "attempts", "trees", "lineage", "changes", "journal", "configuration"];

export function tabs(name, current) {
  const link = (tab) => h("a", { href: runAddress(name, tab), "aria-current": tab === current ? "page" : null }, tab);
  return h("nav", { class: "tabs", "aria-label": `Views of ${name}` }, TABS.map(link));
}

export async function showRun(main, name, tab, fields, signal) {
  document.title = `${name} - Sharpen`;
  const state = h("p", { class: "state", id: "state" });
  const actions = h("div", { class: "actions" });
  const body = h("div", { class: "body" });
  fill(main, h("h1", { tabindex: -1 }, name), h("div", { class: "line" }, state, actions), tabs(name, tab), body);
  const head = { name, state, actions, seen: null };
  const views = { attempts: showAttempts, trees: showTrees, lineage: showLineage, changes: showChanges, journal: showJournal, configuration: showConfiguration };
  const first = await get("run", { run: name }, signal);
  update(head, first);
  const hear = views[tab] ? undefined : overview(name, body, signal);
  hear?.(first);
  listen("run/events", { run: name }, signal, (known) => { update(head, known); hear?.(known); },
    (text, error) => refused(error instanceof Refused ? error : new Error(text)));
  if (views[tab]) fill(body, h("p", { class: "muted" }, "Reading ..."));
  await views[tab]?.(body, name, fields, signal);
}

// State and buttons.
function update(head, { card, resumed }) {
  const starting = resumed.process !== null && card.state !== "running";
  const said = `${card.state}|${card.stopped_by}|${resumed.failure}|${starting}`;
  if (head.seen === said) return;
  if (head.seen !== null) say(`${head.name}: ${card.state}`);
  head.seen = said;
  head.state.className = `state ${card.state}`;
  fill(head.state, stateWords(card), card.delta && ` · gain on the sealed test ${interval(card.delta, true)}`, card.problem && ` · ${card.problem}`,
    starting && " · starting", resumed.failure && h("span", { class: "bad" }, " · ended after it was resumed: ", foreign(resumed.failure)));
  fill(head.actions, starting ? [] : buttons(head, card));
}

function buttons(head, card) {
  const note = h("span", { role: "status", class: "muted" });
  const act = (path, body) => async (event) => {
    event.preventDefault();
    const button = event.target.querySelector?.("button") ?? event.target;
    button.disabled = true;
    try {
      note.textContent = (await post(path, { run: head.name, ...body() })).note;
    } catch (error) {
      note.textContent = error.message;
    }
    button.disabled = false;
  };
  if (card.state === "running") return [h("button", { type: "button", onclick: act("run/stop", () => ({})) }, "Stop"), note];
  // Nothing is left to do for a run that is done; one that used up its budget needs another.
  if (!["unfinished", "budget"].includes(card.state)) return [];
  const needed = card.state === "budget";
  const budget = h("input", { id: "budget", placeholder: "sampled_tokens=2e6", required: needed, "aria-describedby": "budget-why" });
  return [h("form", { onsubmit: act("run/resume", () => ({ budget: budget.value })) },
    needed && [h("label", { for: "budget" }, "New budget"), budget, h("span", { id: "budget-why", class: "unseen" }, "limits in the place of the old ones")],
    h("button", {}, "Resume")), note];
}

// Returns what hears of news.
function overview(name, body, signal) {
  const now = h("section", { "aria-label": "Now" });
  const box = h("div", { class: "charts" });
  const plots = new Plots(box);
  signal.addEventListener("abort", () => plots.close());
  const newest = h("section", { "aria-label": "Newest steps" });
  fill(body, now, h("section", { "aria-label": "Charts" }, box), newest);
  let [drawn, drawing, steps] = ["", false, 0];
  // Drawing takes longer than anything else here: again when a round or the run has ended, else now and then.
  const redraw = async (known) => {
    const stamp = `${known.rounds}|${known.waiting > 1}|${known.card.state}`;
    const late = known.added !== steps && Date.now() - last > 10000;
    if (drawing || (stamp === drawn && !late)) return;
    [drawing, drawn, steps, last] = [true, stamp, known.added, Date.now()];
    try {
      await plots.update(await get("run/charts", { run: name }, signal));
      // A long journal is drawn again and again while it is read: leave the browser time for other things.
      await new Promise((done) => setTimeout(done, 1500));
    } catch (error) {
      if (!signal.aborted) say(`charts: ${error.message}`);
    }
    drawing = false;
    if (!signal.aborted && latest !== known) redraw(latest);
  };
  let [latest, last] = [null, 0];
  return (known) => { latest = known; patch(now, present(known)); patch(newest, newestSteps(name, known)); redraw(known); };
}

function newestSteps(name, known) {
  return [h("h2", {}, "Newest steps"), stepTable(known.newest), h("p", {}, h("a", { href: runAddress(name, "journal") }, "The whole journal"))];
}

function present(known) {
  // A journal that is followed is always a little behind; only one that is long is worth a word.
  const reading = known.rows - known.added > 1000 || known.waiting > 3;
  return [
    known.conclusion && h("p", { class: "lead", "data-key": "conclusion" }, known.conclusion),
    facts([
      ["recipe", known.card.recipe], ["task", known.card.task], ["model", known.card.model], ["seed", known.card.seed],
      ["steps", count(known.rows)], ["rounds read", known.rounds || ""], ["last step", since(known.card.changed)],
      ["work", seconds(known.seconds)], ["in the model", known.seconds ? `${Math.round(100 * known.model_seconds / known.seconds)}%` : ""],
      ["test score after", interval(known.card.after)],
    ]),
    reading && h("p", { class: "muted", "data-key": "reading" }, `Reading the journal: ${count(known.added)} of ${count(known.rows)} steps, ${count(known.waiting)} rounds to go; sums are of what has been read.`),
    warnings(known),
    budget(known),
  ];
}

function warnings({ warnings: found, unshown }) {
  if (!found.length) return null;
  return h("div", { class: "warnings", "data-key": "warnings" }, h("h2", {}, "Warnings"),
    h("ul", {}, found.slice().reverse().map(({ place, text }, at) => h("li", { "data-key": unshown + found.length - at }, h("code", {}, place), " ", foreign(text)))),
    unshown > 0 && h("p", { class: "muted" }, `and ${count(unshown)} more before them`));
}

function budget({ limits, spent }) {
  const bound = Object.entries(limits).filter(([meter, limit]) => limit !== null && meter in spent);
  if (!bound.length) return null;
  const line = ([meter, limit]) => h("div", { class: "meter" }, h("label", { for: `meter-${meter}` }, words(meter)),
    h("progress", { id: `meter-${meter}`, max: limit, value: Math.min(limit, spent[meter] ?? 0) }),
    h("span", { class: "number" }, `${spent[meter] === null ? "unknown" : number(spent[meter])} of ${number(limit)}`));
  return h("div", { "data-key": "budget" }, h("h2", {}, "Budget"), bound.map(line));
}

function stepTable(steps) {
  const row = (step) => h("tr", { "data-key": step.seq }, h("td", { class: "number" }, count(step.seq)), h("th", { scope: "row" }, step.key), h("td", {}, step.purpose),
    h("td", { class: "number" }, count(step.usage.sampled_tokens)), h("td", { class: "number" }, count(step.usage.trained_tokens)),
    h("td", { class: "number" }, seconds(step.seconds)));
  return table("Steps, the newest first", ["row", "step", "account", "sampled tokens", "trained tokens", "time"], steps.map(row));
}

async function showJournal(body, name, fields, signal) {
  const before = Number(fields.get("before") ?? 0);
  const steps = await get("run/steps", { run: name, before }, signal);
  const oldest = steps.at(-1)?.seq ?? 0;
  fill(body, h("h2", {}, "Journal"), stepTable(steps), h("nav", { class: "pages", "aria-label": "Pages of the journal" },
    before > 0 && h("a", { class: "button", href: runAddress(name, "journal") }, "Newest"),
    oldest > 1 && h("a", { class: "button", href: runAddress(name, "journal", { before: oldest }) }, "Older")));
}

async function showConfiguration(body, name, fields, signal) {
  const known = await get("run/configuration", { run: name }, signal);
  const pairs = (title, record) => Object.keys(record).length > 0 && [h("h2", {}, title), facts(flat(record).map(([key, value]) => [words(key), foreign(String(value))]))];
  fill(body, known.conclusion && h("p", { class: "lead" }, known.conclusion), known.parent && h("p", {}, `Forked from ${known.parent}.`),
    pairs("What was asked for", known.spec), pairs("What the result depends on", known.identity),
    known.channels.length > 0 && [h("h2", {}, "Channels seen"), h("p", {}, known.channels.join(", "))],
    known.notes.length > 0 && [h("h2", {}, "Notes"), h("ul", {}, known.notes.map((note) => h("li", {}, foreign(note))))],
    pairs("Versions", known.versions), pairs("Hardware", known.hardware));
}

// Nested settings by their paths; what is not set is left out.
function flat(record, before = "") {
  return Object.entries(record).flatMap(([key, value]) => {
    if (value === null || value === "" || (Array.isArray(value) && !value.length)) return [];
    if (Array.isArray(value)) return [[before + key, JSON.stringify(value)]];
    return typeof value === "object" ? flat(value, `${before}${key} / `) : [[before + key, number(value)]];
  });
}
