// Draws charts: Vega-Lite specs that the server made, interpreted and never evaluated. Nothing is fetched.

import { fill, h, table } from "./dom.js";
import { number } from "./format.js";

const refuse = () => Promise.reject(new Error("a chart loads nothing"));
const loader = { load: refuse, sanitize: refuse, http: refuse, file: refuse };
let theme = null;

// Lets the browser paint and hear of news between two charts.
const breathe = () => new Promise((done) => requestIdleCallback(done, { timeout: 300 }));

async function draw(element, spec) {
  theme ??= await (await fetch("theme.json")).json();
  // The library is large: it comes when there is something to draw, and the page stands.
  const { compile, parse, View, expressionInterpreter } = (await import("./charts.js")).default;
  const whole = { ...spec, width: "container", autosize: { type: "fit-x", contains: "padding" }, config: theme };
  const view = new View(parse(compile(whole).spec, null, { ast: true }), {
    container: element, expr: expressionInterpreter, hover: true, loader, renderer: "svg",
  });
  await view.runAsync();
  return view;
}

// Charts in a box; those that did not change are left as they are.
export class Plots {
  constructor(box) {
    this.box = box;
    this.drawn = new Map();
  }

  async update(charts) {
    const wanted = new Set(charts.map((chart) => chart.name));
    for (const [name, { figure, view }] of this.drawn) {
      if (wanted.has(name)) continue;
      view?.finalize();
      figure.remove();
      this.drawn.delete(name);
    }
    for (const chart of charts) await this.one(chart);
  }

  async one(chart) {
    const said = JSON.stringify(chart);
    const known = this.drawn.get(chart.name);
    if (known?.said === said) return;
    await breathe();
    const figure = known?.figure ?? h("figure", { class: chart.small ? "small" : "", "data-chart": chart.name });
    const open = figure.querySelector("details")?.open;
    known?.view?.finalize();
    const plot = h("div", { class: "plot", role: "img", "aria-label": chart.summary });
    const numbers = h("details", { open }, h("summary", {}, "Numbers"));
    numbers.append(records(chart.title, chart.table));
    fill(figure, h("figcaption", {}, h("h3", {}, chart.title), h("p", { class: "muted" }, chart.summary)), plot, numbers);
    if (!known) this.box.append(figure);
    this.drawn.set(chart.name, { said, figure, view: null });
    try {
      this.drawn.get(chart.name).view = await draw(plot, chart.spec);
    } catch (error) {
      plot.textContent = `This chart could not be drawn (${error.message}); its numbers are below.`;
    }
  }

  close() {
    for (const { view } of this.drawn.values()) view?.finalize();
  }
}

const SHOWN = 500;

export function records(title, { columns, rows }) {
  const cell = (value, at) => h(at ? "td" : "th", { scope: at ? null : "row", class: typeof value === "number" ? "number" : "" }, number(value) ?? "unknown");
  const shown = table(title, columns, rows.slice(-SHOWN).map((row) => h("tr", {}, row.map(cell))));
  return rows.length > SHOWN ? h("div", {}, h("p", {}, `The last ${SHOWN} of ${rows.length} rows.`), shown) : shown;
}
