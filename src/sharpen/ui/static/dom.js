// Builds elements. Text is only ever set as text: nothing here parses HTML.

import { ago } from "./format.js";

// h("a", {href: "#/", class: "x", onclick: f}, "text", child, ...): arrays are flattened, null and false left out.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

const key = (node) => node.dataset?.key;

// Makes what stands in an element like new children, and keeps what stays: with it focus, scrolling, selections and
// what the reader has opened. Children with one `data-key` are the same; others are, if their places and names are.
export function patch(element, ...children) {
  const wanted = document.createDocumentFragment();
  append(wanted, children);
  const focused = document.activeElement;
  graft(element, [...wanted.childNodes]);
  if (focused !== document.activeElement && element.contains(focused)) focused.focus({ preventScroll: true });
  return element;
}

function graft(element, wanted) {
  const keys = new Set(wanted.map(key));
  const kept = new Map();
  for (const child of [...element.children].filter(key)) {
    if (keys.has(key(child))) kept.set(key(child), child);
    else child.remove();
  }
  let at = element.firstChild;
  for (const next of wanted) {
    const old = key(next) ? kept.get(key(next)) : at && !key(at) && at.nodeName === next.nodeName ? at : undefined;
    if (old === at && at) at = at.nextSibling;
    else element.insertBefore(old ?? next, at);
    if (old) merge(old, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// Makes an element like another one of its name; what listens to it, and whether it is open, stays.
function merge(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  graft(old, [...next.childNodes]);
}

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u;

// Foreign text: whatever does not show (controls, marks of direction, joiners) is spelled out and marked.
export function foreign(text) {
  const parts = [];
  let plain = "";
  for (const sign of text) {
    if (sign === "\n" || sign === "\t" || !UNSEEN.test(sign)) {
      plain += sign;
      continue;
    }
    if (plain) parts.push(plain);
    plain = "";
    parts.push(h("span", { class: "spelled", title: "a character that does not show" }, spelled(sign)));
  }
  if (plain) parts.push(plain);
  return parts;
}

export function spelled(sign) {
  const code = sign.codePointAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

// Foreign text in one line, for lists.
export function oneLine(text, most = 120) {
  const line = [...text.replace(/\s+/gu, " ").slice(0, most)];
  return line.map((sign) => (UNSEEN.test(sign) ? spelled(sign) : sign)).join("");
}

// A table with a caption for screen readers; wide ones scroll in their own box.
export function table(caption, columns, rows, attributes = {}) {
  const head = h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)));
  return h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption },
    h("table", attributes, h("caption", { class: "unseen" }, caption), h("thead", {}, head), h("tbody", {}, rows)));
}

// How long ago something was; `app.js` keeps it true.
export const since = (epoch) => h("span", { "data-epoch": epoch }, ago(epoch));

export function facts(pairs) {
  const kept = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return h("dl", { class: "facts" }, kept.map(([name, value]) => h("div", { "data-key": name }, h("dt", {}, name), h("dd", {}, value))));
}

// Said to screen readers, without moving the focus.
export function say(text) {
  document.getElementById("said").textContent = text;
}
