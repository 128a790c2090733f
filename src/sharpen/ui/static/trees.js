// Search trees and the lineage of policies.

import { get } from "./api.js";
import { facts, fill, foreign, h, table } from "./dom.js";
import { count, number } from "./format.js";
import { drawGraph } from "./graph.js";
import { runAddress } from "./runs.js";

export async function showTrees(body, name, fields, signal) {
  if (fields.has("place")) return showTree(body, name, fields, signal);
  const row = Number(fields.get("row") ?? 0);
  const page = await get("run/trees", { run: name, row }, signal);
  const line = (tree) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: runAddress(name, "trees", { row: tree.row, place: tree.place }) }, tree.task)),
    h("td", {}, tree.step), h("td", { class: "number" }, tree.round), h("td", { class: "number" }, count(tree.nodes)),
    h("td", { class: "number" }, count(tree.ends)), h("td", { class: "number" }, tree.best === null ? "" : number(tree.best)));
  fill(body, h("h2", {}, "Search trees"),
    page.items.length ? table("Search trees, the newest first", ["task", "step", "round", "nodes", "ends", "best end"], page.items.map(line))
      : h("p", {}, "No search of this run has left a tree here."),
    page.row !== null && h("p", {}, h("a", { class: "button", href: runAddress(name, "trees", { row: page.row }) }, "Older")));
  return undefined;
}

async function showTree(body, name, fields, signal) {
  const where = { run: name, row: Number(fields.get("row")), place: Number(fields.get("place")) };
  const graph = await get("run/tree", where, signal);
  const chosen = h("aside", { class: "node", "aria-live": "polite" }, h("p", { class: "muted" }, "Choose a node to read what stands there."));
  const choose = async (spot) => {
    const node = await get("run/node", { ...where, number: spot.number }, signal);
    fill(chosen, h("h3", {}, `Node ${node.number}`), facts(Object.entries(node.facts).map(([key, value]) => [key, number(value)])), h("pre", { class: "foreign" }, foreign(node.text) ));
  };
  fill(body, h("h2", {}, graph.title), h("p", {}, h("a", { href: runAddress(name, "trees") }, "All trees")), h("div", { class: "with-node" }, drawGraph(graph, choose), chosen));
}

export async function showLineage(body, name, fields, signal) {
  const graph = await get("run/lineage", { run: name }, signal);
  const chosen = h("aside", { class: "node", "aria-live": "polite" }, h("p", { class: "muted" }, "Choose a policy to read where it stands."));
  const choose = (spot) => fill(chosen, h("h3", {}, spot.name), facts([["standing", spot.kind], ["score", spot.worth === null ? "unknown" : number(spot.worth)],
    ["made from", spot.parent === null ? "nothing in this run" : graph.nodes[spot.parent].name]]));
  fill(body, h("h2", {}, graph.title), graph.nodes.length ? h("div", { class: "with-node" }, drawGraph(graph, choose), chosen) : h("p", {}, "There is no policy yet."));
}
