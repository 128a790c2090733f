// Prints the licence of every package that ends up in the bundle: each text once, then who it covers.
import { readFileSync, readdirSync } from "node:fs";
import { execFileSync } from "node:child_process";

execFileSync("npx", [
  "esbuild", "entry.mjs", "--bundle", "--format=iife", "--alias:vega=vega-util",
  "--metafile=meta.json", "--outfile=/dev/null", "--log-level=error",
]);
const { inputs } = JSON.parse(readFileSync("meta.json", "utf8"));
const names = new Set(
  Object.keys(inputs)
    .filter((path) => path.includes("node_modules/"))
    .map((path) => path.split("node_modules/").at(-1).split("/"))
    .map(([first, second]) => (first.startsWith("@") ? `${first}/${second}` : first)),
);
const covered = new Map();
for (const name of [...names].sort()) {
  const folder = `node_modules/${name}`;
  const facts = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const lines = file ? readFileSync(`${folder}/${file}`, "utf8").split("\n") : [];
  const owners = lines.filter((line) => /^copyright/i.test(line.trim())).map((line) => line.trim());
  const words = lines.filter((line) => !/^copyright/i.test(line.trim())).join(" ");
  const text = words.replace(/all rights reserved\.?|ISC License/gi, "").replace(/\s+/g, " ").trim();
  const holders = covered.get(text) ?? covered.set(text, { licence: facts.license, packages: [] }).get(text);
  holders.packages.push(`${name} ${facts.version}: ${owners.join("; ")}`);
}
for (const [text, { licence, packages }] of covered) {
  console.log(`${licence}\n${packages.join("\n")}\n\n${text.replace(/(.{1,110})(\s|$)/g, "$1\n")}`);
}
