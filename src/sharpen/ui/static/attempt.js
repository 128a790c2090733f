// One attempt: who wrote what, how likely each token was, and what was said of it.

import { get } from "./api.js";
import { verdictWords } from "./attempts.js";
import { facts, fill, foreign, h } from "./dom.js";
import { count, number } from "./format.js";
import { tabs } from "./run.js";
import { runAddress } from "./runs.js";

const LEVELS = [-0.05, -0.3, -1, -2.5, -5];

export async function showAttempt(main, name, fields, signal) {
  const where = { run: name, row: Number(fields.get("row")), place: Number(fields.get("place")) };
  document.title = `attempt of ${name} - Sharpen`;
  const trace = await get("run/attempt", where, signal);
  const { line } = trace;
  fill(main, h("h1", { tabindex: -1 }, `Attempt at task ${line.task}`),
    h("p", {}, h("a", { href: runAddress(name) }, name), " · ", line.step), tabs(name, "attempts"),
    h("p", { class: `verdict big ${line.outcome}` }, verdictWords(line)), verdict(trace.verdict),
    facts([["round", line.round || ""], ["place in its group", line.index], ["policy", line.policy], ["temperature", line.temperature],
      ["tokens", count(line.tokens)], ["ended by", line.stop], ["came by being", trace.provenance], ["environment steps", trace.steps || ""],
      ["branches off", trace.branch && `${trace.branch.parent} after turn ${trace.branch.turn}`]]),
    h("h2", {}, "Trace"), legend(trace.turns), trace.turns.map((turn, at) => article(turn, at, where, signal)), told(trace),
    h("p", {}, h("a", { href: runAddress(name, "attempts", { task: line.task }) }, "All attempts at this task")));
}

function verdict(found) {
  if (!found) return h("p", { class: "muted" }, "It has not been judged, or its verdict is not known.");
  const said = found.critique || found.reason || [found.kind, found.detail].filter(Boolean).join(": ");
  const evidence = Object.entries(found.evidence ?? {});
  return [said && h("blockquote", { class: "foreign" }, foreign(said)),
    evidence.length > 0 && facts(evidence.map(([key, value]) => [foreign(key), foreign(JSON.stringify(value))]))];
}

function legend(turns) {
  if (!turns.some((turn) => turn.logprobs)) return null;
  const box = h("input", { type: "checkbox", id: "shade", onchange: (event) => document.body.classList.toggle("shaded", event.target.checked) });
  box.checked = document.body.classList.contains("shaded");
  return h("p", { class: "legend" }, box, h("label", { for: "shade" }, " Tokens, shaded by how unlikely the policy found them: "),
    LEVELS.map((level, at) => h("span", { class: `token p${at}` }, `p > ${Math.exp(level).toPrecision(2)}`)), h("span", { class: "token p5" }, "less"));
}

function article(turn, at, where, signal) {
  const role = turn.role ? ` as ${turn.role}` : "";
  const learnt = ["policy", "teacher"].includes(turn.author) && !turn.trained ? "not learnt from" : "";
  const notes = [turn.tokens && `${count(turn.tokens)} tokens`, turn.score !== null && `score ${number(turn.score)}`, learnt].filter(Boolean);
  return h("article", { class: `turn ${turn.author}`, "aria-label": `turn ${at + 1}, by ${turn.author}` },
    h("h3", {}, h("span", { class: "author" }, turn.author), role, h("span", { class: "muted" }, notes.length ? ` · ${notes.join(" · ")}` : "")),
    body(turn, at, where, signal), turn.logprobs && tokens(turn));
}

function body(turn, at, where, signal) {
  const text = h("pre", { class: "foreign text" }, foreign(turn.text.text));
  let begin = turn.text.text.length ? [...turn.text.text].length : 0;
  const { total } = turn.text;
  if (begin >= total) return text;
  const more = h("button", { type: "button" });
  const label = () => { more.textContent = `Next part (${count(begin)} of ${count(total)} characters shown)`; more.hidden = begin >= total; };
  more.addEventListener("click", async () => {
    more.disabled = true;
    const piece = await get("run/text", { ...where, turn: at, begin }, signal);
    text.append(h("span", {}, foreign(piece.text)));
    begin = piece.begin + [...piece.text].length;
    more.disabled = false;
    label();
  });
  label();
  return [text, more];
}

function tokens(turn) {
  const level = (value) => { const at = LEVELS.findIndex((least) => value > least); return at < 0 ? 5 : at; };
  const one = (value, at) => {
    const text = turn.token_texts?.[at] ?? `[${turn.token_ids[at]}]`;
    return h("span", { class: `token p${level(value)}`, title: `token ${turn.token_ids[at]}, p ${Math.exp(value).toPrecision(3)}` }, foreign(text));
  };
  const hidden = turn.tokens > turn.logprobs.length ? `; the first ${count(turn.logprobs.length)}` : "";
  const known = turn.token_texts ? "" : "; their numbers, since this model's tokenizer is not at hand";
  const whole = turn.token_texts && !hidden && turn.text.text.length === turn.text.total;
  return h("div", { class: whole ? "tokens whole" : "tokens" }, !whole && h("p", { class: "muted" }, `Tokens${hidden}${known}`), h("pre", { class: "foreign" }, turn.logprobs.map(one)));
}

function told({ told: said, files }) {
  const outcome = Object.entries(said);
  const made = Object.entries(files);
  return [outcome.length > 0 && [h("h2", {}, "What the environment said"), facts(outcome.map(([key, value]) => [foreign(key), foreign(JSON.stringify(value))]))],
    made.length > 0 && [h("h2", {}, "Files"), facts(made.map(([key, sha]) => [foreign(key), h("code", {}, sha)]))]];
}
