// Draws a page's charts, sorts its tables and switches its theme. Charts are data in JSON elements; nothing is
// evaluated, nothing is fetched, and text is only ever set as text.
"use strict";

const sharpenPage = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const refuse = () => Promise.reject(new Error("a chart loads nothing"));
  const loader = { load: refuse, sanitize: refuse, http: refuse, file: refuse };
  const drawn = new WeakMap();

  // Draws a Vega-Lite spec into an element, in the place of what was drawn there before.
  async function draw(element, spec, theme) {
    drawn.get(element)?.finalize();
    const whole = {
      ...spec,
      width: "container",
      autosize: { type: "fit-x", contains: "padding" },
      config: { ...theme, legend: { ...theme.legend, columns: element.clientWidth < 480 ? 2 : 0 } },
    };
    const { spec: parsed } = sharpenCharts.compile(whole);
    const view = new sharpenCharts.View(sharpenCharts.parse(parsed, null, { ast: true }), {
      container: element,
      expr: sharpenCharts.expressionInterpreter,
      hover: true,
      loader,
      renderer: "svg",
    });
    drawn.set(element, view);
    await view.runAsync();
    return view;
  }

  async function drawAll() {
    const theme = read("theme");
    for (const [name, spec] of Object.entries(read("charts"))) {
      const element = document.getElementById(`plot-${name}`);
      try {
        await draw(element, spec, theme);
      } catch (error) {
        element.textContent = `This chart could not be drawn (${error.message}); its table has the numbers.`;
      }
    }
    document.documentElement.dataset.drawn = "yes";
  }

  const valueOf = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;

  // The number that a text begins with: of "+0.7% (-2.7 to +4.0)" and "<0.001", too.
  const numberOf = (text) => Number(/^<?([+-]?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)/.exec(text)?.[1].replaceAll(",", ""));

  function compare(one, other) {
    const [left, right] = [numberOf(one), numberOf(other)];
    return Number.isNaN(left) || Number.isNaN(right) ? one.localeCompare(other) : left - right;
  }

  function sortBy(heading) {
    const [body, column] = [heading.closest("table").tBodies[0], heading.cellIndex];
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...body.rows].sort((a, b) => compare(valueOf(a, column), valueOf(b, column)));
    body.append(...(descending ? rows.reverse() : rows));
  }

  function switchTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }

  function listen() {
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.matches("th button")) sortBy(button.closest("th"));
      if (button?.matches(".theme")) switchTheme();
    });
    addEventListener("beforeprint", () => {
      for (const each of document.querySelectorAll("details.print")) each.open = true;
    });
  }

  return { draw, drawAll, listen };
})();
