// Draws charts: Vega-Lite specs that the server made, interpreted and never evaluated. Nothing is fetched.

import { fill, h, patch, table } from "./dom.js";
import { number } from "./format.js";

const refuse = () => Promise.reject(new Error("a chart loads nothing"));
const loader = { load: refuse, sanitize: refuse, http: refuse, file: refuse };
let theme = null;

// Lets the browser paint and hear of news between two charts.
const breathe = () => new Promise((done) => requestIdleCallback(done, { timeout: 300 }));

// Takes the values out of a spec: what is left stays the same while a run grows.
function apart(spec) {
  const values = [];
  const bare = JSON.stringify(spec, (key, part) => (key === "data" && part?.values ? { name: `values-${values.push(part.values)}` } : part));
  return { bare, values };
}

async function feed(view, values) {
  values.forEach((rows, at) => view.data(`values-${at + 1}`, rows));
  await view.runAsync();
}

async function draw(element, { bare, values }) {
  theme ??= await (await fetch("theme.json")).json();
  // The library is large: it comes when there is something to draw, and the page stands.
  const { compile, parse, View, expressionInterpreter } = (await import("./charts.js")).default;
  const whole = { ...JSON.parse(bare), width: "container", autosize: { type: "fit-x", contains: "padding" }, config: theme };
  const view = new View(parse(compile(whole).spec, null, { ast: true }), {
    container: element, expr: expressionInterpreter, hover: true, loader, renderer: "svg",
  });
  await feed(view, values);
  return view;
}

// Height of axes and legend: a new chart has its place before it is drawn, and does not push others about twice.
const AROUND = 60;

// One chart with its words and its numbers.
class Drawn {
  constructor({ name, small, spec }) {
    this.caption = h("figcaption", {});
    this.plot = h("div", { class: "plot", role: "img" });
    this.plot.style.minHeight = `${spec.height + AROUND}px`;
    this.table = h("div", {});
    this.numbers = h("details", { ontoggle: () => this.tell() }, h("summary", {}, "Numbers"), this.table);
    this.figure = h("figure", { class: small ? "small" : "", "data-chart": name }, this.caption, this.plot, this.numbers);
  }

  async show(chart) {
    const said = JSON.stringify(chart);
    if (this.said === said) return;
    await breathe();
    this.said = said;
    this.chart = chart;
    patch(this.caption, h("h3", {}, chart.title), h("p", { class: "muted" }, chart.summary));
    this.plot.setAttribute("aria-label", chart.summary);
    this.tell();
    try {
      await this.picture(apart(chart.spec));
    } catch (error) {
      this.close();
      fill(this.plot, `This chart could not be drawn (${error.message}); its numbers are below.`);
    }
  }

  // New values go into the picture that is there; another kind of picture takes its place once it is drawn.
  async picture(spec) {
    if (this.view && this.bare === spec.bare) return feed(this.view, spec.values);
    const plot = h("div", { class: "plot coming", role: "img", "aria-label": this.chart.summary });
    this.plot.before(plot);
    try {
      const view = await draw(plot, spec);
      this.close();
      [this.view, this.bare] = [view, spec.bare];
      this.plot.replaceWith(plot);
      this.plot = plot;
    } finally {
      plot.classList.remove("coming");
      if (this.plot !== plot) plot.remove();
    }
    return undefined;
  }

  // Numbers are many: they are there only while somebody looks at them.
  tell() {
    if (this.numbers.open) patch(this.table, records(this.chart.title, this.chart.table));
    else fill(this.table);
  }

  close() {
    this.view?.finalize();
    this.view = null;
  }
}

// Charts in a box; those that did not change are left as they are.
export class Plots {
  constructor(box) {
    this.box = box;
    this.drawn = new Map();
  }

  async update(charts) {
    const wanted = new Set(charts.map((chart) => chart.name));
    for (const [name, drawn] of this.drawn) {
      if (wanted.has(name)) continue;
      drawn.close();
      drawn.figure.remove();
      this.drawn.delete(name);
    }
    for (const [at, chart] of charts.entries()) {
      const drawn = this.drawn.get(chart.name) ?? new Drawn(chart);
      this.drawn.set(chart.name, drawn);
      if (this.box.children[at] !== drawn.figure) this.box.insertBefore(drawn.figure, this.box.children[at] ?? null);
      await drawn.show(chart);
    }
  }

  close() {
    for (const drawn of this.drawn.values()) drawn.close();
  }
}

const SHOWN = 500;

export function records(title, { columns, rows }) {
  const cell = (value, at) => h(at ? "td" : "th", { scope: at ? null : "row", class: typeof value === "number" ? "number" : "" }, number(value) ?? "unknown");
  const shown = table(title, columns, rows.slice(-SHOWN).map((row) => h("tr", {}, row.map(cell))));
  return rows.length > SHOWN ? h("div", {}, h("p", {}, `The last ${SHOWN} of ${rows.length} rows.`), shown) : shown;
}
