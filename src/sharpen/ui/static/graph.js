// A forest as SVG that pans and zooms: by pointer, by keys, by buttons. Nodes can be walked with the arrow keys.

import { h } from "./dom.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const [DOWN, MARGIN, WIDEST] = [74, 40, 1400];
const SHAPES = { chosen: "diamond", kept: "diamond", end: "square", start: "square" };

function s(name, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function shape(spot) {
  const size = 7 + 9 * Math.sqrt(Math.max(0, Math.min(1, spot.weight)));
  switch (SHAPES[spot.kind]) {
    case "diamond": return s("path", { class: "shape", d: `M0 ${-size}L${size} 0 0 ${size} ${-size} 0z` });
    case "square": return s("rect", { class: "shape", x: -0.8 * size, y: -0.8 * size, width: 1.6 * size, height: 1.6 * size });
    default: return s("circle", { class: "shape", r: 0.9 * size });
  }
}

function edges(nodes, at) {
  const parts = nodes.filter((spot) => spot.parent !== null).map((spot) => {
    const [[x1, y1], [x2, y2]] = [at(nodes[spot.parent]), at(spot)];
    return `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`;
  });
  return s("path", { class: "edges", d: parts.join("") || "M0 0" });
}

class Camera {
  // Shows all, or of something wide what stands around a place.
  constructor(svg, box, [x, y]) {
    this.svg = svg;
    this.all = box;
    const width = Math.min(box.width, WIDEST);
    if (width === box.width) this.fit();
    else this.set(x - width / 2, y - MARGIN, width, Math.max(0.6 * width, Math.min(box.height, width)));
  }

  set(x, y, width, height) {
    this.box = { x, y, width, height };
    this.svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  }

  fit() {
    const { x, y, width, height } = this.all;
    this.set(x, y, width, height);
  }

  // Zooms about a place that is given in parts of the picture.
  zoom(factor, px = 0.5, py = 0.5) {
    const { x, y, width, height } = this.box;
    const next = Math.min(20 * this.all.width, Math.max(this.all.width / 400, width * factor));
    const scale = next / width;
    this.set(x + px * width * (1 - scale), y + py * height * (1 - scale), next, height * scale);
  }

  pan(px, py) {
    const { x, y, width, height } = this.box;
    this.set(x + px * width, y + py * height, width, height);
  }

  show([x, y]) {
    const { box } = this;
    const inside = x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height;
    if (!inside) this.set(x - box.width / 2, y - box.height / 2, box.width, box.height);
  }
}

// Names stand below their nodes, so nodes keep the distance that the longest name needs.
const across = (nodes) => Math.max(46, 16 + 7 * nodes.reduce((most, spot) => Math.max(most, spot.name.length), 0));

function extent(nodes, step) {
  const width = Math.max(...nodes.map((spot) => spot.x), 0) * step;
  const height = Math.max(...nodes.map((spot) => spot.y), 0) * DOWN;
  // A small forest is not blown up beyond its natural size.
  const [wide, high] = [Math.max(width + 2 * MARGIN, 520), Math.max(height + 2 * MARGIN, 300)];
  return { x: width / 2 - wide / 2, y: height / 2 - high / 2, width: wide, height: high };
}

function pointers(svg, camera) {
  const held = new Map();
  const part = (event) => { const box = svg.getBoundingClientRect(); return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]; };
  const spread = () => { const [a, b] = [...held.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  svg.addEventListener("pointerdown", (event) => { held.set(event.pointerId, part(event)); });
  svg.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const [old, now] = [held.get(event.pointerId), part(event)];
    if (held.size === 2) {
      const before = spread();
      held.set(event.pointerId, now);
      camera.zoom(before / Math.max(0.01, spread()));
    } else {
      if (Math.hypot(now[0] - old[0], now[1] - old[1]) < 0.004) return;
      svg.setPointerCapture(event.pointerId);
      camera.pan(old[0] - now[0], old[1] - now[1]);
      held.set(event.pointerId, now);
    }
  });
  for (const kind of ["pointerup", "pointercancel", "pointerleave"]) svg.addEventListener(kind, (event) => held.delete(event.pointerId));
  // With Ctrl or Shift, so that a page that is scrolled past does not stop here.
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    camera.zoom((event.deltaY || event.deltaX) > 0 ? 1.15 : 1 / 1.15, ...part(event));
  }, { passive: false });
}

// Where an arrow key leads from a node.
function neighbour(nodes, spot, key) {
  const level = nodes.filter((other) => other.y === spot.y).sort((a, b) => a.x - b.x);
  switch (key) {
    case "ArrowUp": return spot.parent === null ? undefined : nodes[spot.parent];
    case "ArrowDown": return nodes.find((other) => other.parent === spot.number);
    case "ArrowLeft": return level[level.indexOf(spot) - 1];
    case "ArrowRight": return level[level.indexOf(spot) + 1];
    default: return undefined;
  }
}

function keys(svg, camera, nodes, focus) {
  const moves = { "+": () => camera.zoom(0.8), "=": () => camera.zoom(0.8), "-": () => camera.zoom(1.25), 0: () => camera.fit() };
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const spot = nodes[Number(document.activeElement?.dataset?.node ?? -1)];
    const next = spot && neighbour(nodes, spot, event.key);
    if (!next && !moves[event.key]) return;
    event.preventDefault();
    if (next) focus(next);
    else moves[event.key]();
  });
}

// Draws a forest; `choose` hears of the node that is clicked on, or walked to.
export function drawGraph(graph, choose) {
  const { nodes } = graph;
  const svg = s("svg", { class: "graph", role: "tree", "aria-label": graph.title });
  const step = across(nodes);
  const at = (spot) => [spot.x * step, spot.y * DOWN];
  const camera = new Camera(svg, extent(nodes, step), at(nodes[0]));
  let current = null;
  const items = nodes.map((spot) => {
    const worth = spot.worth === null ? "unknown" : Number(spot.worth.toPrecision(3));
    const item = s("g", { class: `spot ${spot.kind}`, transform: `translate(${at(spot).join(" ")})`, role: "treeitem", tabindex: spot.number ? -1 : 0, "data-node": spot.number,
      "aria-level": spot.y + 1, "aria-label": `node ${spot.number}, ${spot.kind}, worth ${worth}` }, s("rect", { class: "hit", x: -20, y: -18, width: 40, height: 50 }), shape(spot), s("text", { y: 28, "text-anchor": "middle" }, spot.name));
    item.append(s("title", {}, `${spot.kind}, worth ${worth}`));
    item.addEventListener("click", () => focus(spot));
    return item;
  });
  const focus = (spot) => {
    if (current) { items[current.number].setAttribute("tabindex", -1); items[current.number].classList.remove("current"); }
    else items[0].setAttribute("tabindex", -1);
    current = spot;
    items[spot.number].setAttribute("tabindex", 0);
    items[spot.number].classList.add("current");
    camera.show(at(spot));
    items[spot.number].focus({ preventScroll: true });
    choose(spot);
  };
  svg.append(edges(nodes, at), ...items);
  pointers(svg, camera);
  keys(svg, camera, nodes, focus);
  const button = (text, label, act) => h("button", { type: "button", "aria-label": label, onclick: act }, text);
  const kinds = [...new Set(nodes.map((spot) => spot.kind))];
  const legend = kinds.map((kind) => h("span", { class: "key" }, keySign(kind), kind));
  return h("div", { class: "graph-box" },
    h("div", { class: "line" }, h("span", {}, legend), h("span", { class: "tools" }, button("+", "zoom in", () => camera.zoom(0.8)), button("−", "zoom out", () => camera.zoom(1.25)), button("Fit", "show all", () => camera.fit()))),
    svg, h("p", { class: "muted" }, "Drag to move, Ctrl or Shift with the wheel to zoom; arrow keys walk from node to node, + - 0 zoom.",
      graph.unshown > 0 && ` ${graph.unshown} more nodes are not drawn.`));
}

function keySign(kind) {
  const sign = s("svg", { class: "sign", viewBox: "-16 -16 32 32", "aria-hidden": "true" });
  sign.append(s("g", { class: `spot ${kind}` }, shape({ kind, weight: 0.4 })));
  return sign;
}
