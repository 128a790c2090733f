// Several runs side by side.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { Plots, records } from "./plots.js";
import { runAddress } from "./runs.js";

export async function showCompare(main, fields, signal) {
  const names = fields.getAll("run");
  document.title = "Comparison - Sharpen";
  const found = await get("compare", { run: names }, signal);
  const box = h("div", { class: "charts" });
  const plots = new Plots(box);
  signal.addEventListener("abort", () => plots.close());
  fill(main, h("h1", { tabindex: -1 }, `${names.length} runs side by side`),
    h("p", { class: "muted" }, "For looking: runs may differ in task, budget and seed. What may be concluded of two methods, ", h("code", {}, "sharpen compare"), " says."),
    h("ul", { class: "names" }, names.map((name) => h("li", {}, h("a", { href: runAddress(name) }, name)))),
    records("Scores and use of resources by the method", found.scores), box,
    h("h2", {}, "Where their configurations differ"),
    found.differences.rows.length ? records("Settings that differ", found.differences) : h("p", {}, "Nowhere."));
  await plots.update(found.charts);
}
