// Asks the server. Every request carries the token that `sharpen ui` printed; there are no cookies.

const KEY = "sharpen-token";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Takes the token out of the address, where it would be seen and kept.
export function takeToken() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (!found) return;
  localStorage.setItem(KEY, found[1]);
  history.replaceState(null, "", "#/");
}

export const setToken = (token) => localStorage.setItem(KEY, token.trim());

function headers(more = {}) {
  return { Authorization: `Bearer ${localStorage.getItem(KEY) ?? ""}`, ...more };
}

export function address(path, fields = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const each of [value].flat()) if (each !== "" && each !== null && each !== undefined) query.append(name, each);
  }
  return `/api/${path}${query.size ? `?${query}` : ""}`;
}

async function checked(answer) {
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, body.error ?? `the server answered ${answer.status}`);
}

export async function get(path, fields, signal) {
  return (await checked(await fetch(address(path, fields), { headers: headers(), signal }))).json();
}

export async function post(path, body) {
  const request = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) };
  return (await checked(await fetch(address(path), request))).json();
}

const pause = (time, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, time);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });

function shown(connected) {
  document.getElementById("connection").textContent = connected ? "" : "The server does not answer; trying again.";
}

// A browser has few connections to one server: pages that nobody sees give theirs back.
function seen(signal) {
  return new Promise((done) => {
    if (!document.hidden || signal.aborted) return done();
    document.addEventListener("visibilitychange", done, { once: true });
    return signal.addEventListener("abort", done, { once: true });
  });
}

// A signal for one connection: it ends with the view, and when the page is hidden.
function whileSeen(signal) {
  const hidden = new AbortController();
  const look = () => { if (document.hidden) hidden.abort(); };
  document.addEventListener("visibilitychange", look, { signal });
  return { signal: AbortSignal.any([signal, hidden.signal]), end: () => document.removeEventListener("visibilitychange", look) };
}

// Hears server-sent events until the signal; connects again when the connection breaks. `onGone` hears of the end.
export async function listen(path, fields, signal, onData, onGone) {
  for (let wait = 500; !signal.aborted; wait = Math.min(2 * wait, 8000)) {
    await seen(signal);
    const now = whileSeen(signal);
    try {
      const answer = await checked(await fetch(address(path, fields), { headers: headers(), signal: now.signal }));
      shown(true);
      for await (const event of events(answer.body)) {
        wait = 500;
        if (event.name === "gone") return onGone?.(event.data);
        onData(event.data);
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      if (error instanceof Refused) return onGone?.(error.message, error);
      if (!document.hidden) shown(false);
    } finally {
      now.end();
    }
    if (!document.hidden) await pause(wait, signal);
  }
  return undefined;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { name: "message", lines: [] };
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) event.name = line.slice(6).trim();
        if (line.startsWith("data:")) event.lines.push(line.slice(5).trimStart());
      }
      if (event.lines.length) yield { name: event.name, data: JSON.parse(event.lines.join("\n")) };
    }
  }
}
