// What changed from round to round: flows between right and wrong, tasks before and after, growth of what is learnt.

import { get } from "./api.js";
import { fill, foreign, h } from "./dom.js";
import { count } from "./format.js";
import { Plots } from "./plots.js";

const SIGNS = { right: "✓", partly: "◐", wrong: "✗", unknown: "?" };

export async function showChanges(body, name, fields, signal) {
  const { changed, grown, note } = await get("run/changes", { run: name }, signal);
  const flows = h("div", { class: "charts" });
  const sizes = h("div", { class: "charts" });
  if (note) return fill(body, h("h2", {}, "Changes"), h("p", {}, foreign(note)));
  fill(body, h("h2", {}, "Between rounds"),
    !changed?.charts.length && h("p", {}, "No validation task is known to have gone from wrong to right or back so far."), flows,
    h("h2", {}, "Before and after"), !changed?.examples.length && h("p", {}, "No task is known whose score differs between the first and the last policy."),
    changed?.notes.map((text) => h("p", { class: "muted" }, text)), changed?.examples.map(example),
    h("h2", {}, "Growth of what is learnt"),
    !grown?.charts.length && h("p", {}, "No memory, skill, program or prompt has been changed so far."), sizes);
  const plots = [flows, sizes].map((box) => new Plots(box));
  signal.addEventListener("abort", () => plots.forEach((each) => each.close()));
  await Promise.all([changed, grown].map((section, at) => plots[at].update(section?.charts ?? [])));
  return undefined;
}

function example({ task, question, before, after }) {
  const title = ["Task ", foreign(task)];
  return h("article", { class: "contrast" }, h("h3", {}, title), question && long(question, "question"),
    h("div", { class: "pair" }, side("before", before), side("after", after)));
}

function side(when, { kind, verdict, critique, text }) {
  return h("div", {}, h("h4", {}, `${when}: `, h("span", { class: `verdict ${kind}` }, `${SIGNS[kind]} `, foreign(verdict))),
    critique && h("blockquote", { class: "foreign" }, foreign(critique)),
    text ? long(text, `answer ${when}`) : h("p", { class: "muted" }, "Made in several steps; its text is among the attempts."));
}

// A text's beginning; the rest opens on demand, and what is left out is counted.
function long({ start, rest, dropped }, what) {
  return [h("pre", { class: "foreign" }, foreign(start)),
    rest && h("details", {}, h("summary", {}, `${count([...rest].length)} more characters of the ${what}`), h("pre", { class: "foreign" }, foreign(rest)),
      dropped > 0 && h("p", { class: "muted" }, `and ${count(dropped)} that are not shown here`))];
}
