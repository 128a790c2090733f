// Numbers and times in words.

// One decimal as Python writes it, which wrote the charts and the command line: the same score is the same text
// everywhere. Of two that are equally near, toFixed takes the larger and Python the even one; with one decimal
// they differ where exactly .25 is left.
export function tenths(value) {
  const size = Math.abs(value);
  const text = (size % 1 === 0.25 ? Math.floor(size) + 0.2 : size).toFixed(1);
  return value < 0 || Object.is(value, -0) ? `-${text}` : text;
}

export const percent = (value, signed = false) => {
  if (value === null || value === undefined) return "unknown";
  const text = tenths(100 * value);
  return `${signed && !text.startsWith("-") ? "+" : ""}${text}%`;
};

export function interval(item, signed = false) {
  if (!item) return "";
  if (item.low === null || item.mean === null) return percent(item.mean, signed);
  const ends = [item.low, item.high].map((end) => percent(end, signed).slice(0, -1));
  return `${percent(item.mean, signed)} (${ends.join(" to ")})`;
}

export const count = (value) => Number(value).toLocaleString("en");

export function seconds(value) {
  if (value < 1) return `${Math.round(1000 * value)} ms`;
  if (value < 60) return `${tenths(value)} s`;
  if (value < 5400) return `${tenths(value / 60)} min`;
  return `${tenths(value / 3600)} h`;
}

export function ago(epoch) {
  if (!epoch) return "";
  const passed = Math.max(0, Date.now() / 1000 - epoch);
  if (passed < 5) return "just now";
  if (passed < 90) return `${Math.round(passed)} s ago`;
  if (passed < 5400) return `${Math.round(passed / 60)} min ago`;
  if (passed < 129600) return `${Math.round(passed / 3600)} h ago`;
  return new Date(epoch * 1000).toISOString().slice(0, 10);
}

export const words = (name) => name.replaceAll("_", " ");

export const number = (value) =>
  typeof value === "number" ? (Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)))) : value;

const SIGNS = { running: "▶", done: "✓", budget: "■", unfinished: "○", empty: "·", unreadable: "!" };

// A state is told by a sign and a word, never by colour alone.
export const stateWords = (card) =>
  `${SIGNS[card.state]} ${card.state === "budget" ? `budget: ${words(card.stopped_by ?? "")}` : card.state}`;

// A file's name in place of its whole path; addresses of servers stay.
export const withoutFolders = (text) => text.replace(/(^|:)\/(?!\/)\S*\//, "$1…/");
