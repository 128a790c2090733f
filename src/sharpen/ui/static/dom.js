// Builds elements. Text is only ever set as text: nothing here parses HTML.

// h("a", {href: "#/", class: "x", onclick: f}, "text", child, ...): arrays are flattened, null and false left out.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
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

export function facts(pairs) {
  const kept = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return h("dl", { class: "facts" }, kept.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

// Said to screen readers, without moving the focus.
export function say(text) {
  document.getElementById("said").textContent = text;
}
