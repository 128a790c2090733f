// Several runs side by side.

import { get } from "./api.js";
import { fill, h, say } from "./dom.js";
import { Plots, records } from "./plots.js";
import { runAddress } from "./runs.js";

export async function showCompare(main, fields, signal) {
  const names = fields.getAll("run");
  document.title = "Comparison - Sharpen";
  let found = await get("compare", { run: names }, signal);
  const box = h("div", { class: "charts" });
  const plots = new Plots(box);
  signal.addEventListener("abort", () => plots.close());
  const [scores, differences] = [h("div"), h("div")];
  const show = () => {
    fill(scores, records("Scores and use of resources by the method", found.scores));
    fill(differences, found.differences.rows.length ? records("Settings that differ", found.differences) : h("p", {}, "Nowhere."));
    return plots.update(found.charts);
  };
  fill(main, h("h1", { tabindex: -1 }, `${names.length} runs side by side`),
    h("p", { class: "muted" }, "For looking: runs may differ in task, budget and seed. What may be concluded of two methods, ", h("code", {}, "sharpen compare"), " says."),
    h("ul", { class: "names" }, names.map((name) => h("li", {}, h("a", { href: runAddress(name) }, name)))),
    scores, box, h("h2", {}, "Where their configurations differ"), differences);
  await show();
  // Finished runs do not change; others are asked for again now and then.
  const follow = async () => {
    while (!signal.aborted && found.scores.rows.some(([, state]) => state === "running" || state === "unfinished")) {
      await new Promise((done) => setTimeout(done, 5000));
      if (signal.aborted || document.hidden) continue;
      found = await get("compare", { run: names }, signal);
      await show();
    }
  };
  follow().catch((error) => signal.aborted || say(error.message));
}
