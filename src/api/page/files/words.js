// Words and elements. Whatever others have written becomes text, never markup.

// Controls, and what turns the words around it backwards.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** What can be printed of a text. */
export const plain = (text) => String(text).replace(UNPRINTABLE, " ");

/** An element; strings among the children become text. */
export function el(tag, attributes = {}, ...children) {
  const it = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "click") it.addEventListener("click", value);
    else it.setAttribute(name, value === true ? "" : name === "value" ? value : plain(value));
  }
  const there = children.filter((child) => child !== null && child !== undefined && child !== "");
  it.append(...there.map((child) => (typeof child === "string" ? plain(child) : child)));
  return it;
}

export const by = (id) => document.getElementById(id);

/** Sets a text only where it differs: a screen reader hears of changes. */
export function set(it, text) {
  const shown = plain(text);
  if (it.textContent !== shown) it.textContent = shown;
}

/** The origin of a web address that a member has given, else null: it may have written anything. */
export function origin(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.origin : null;
  } catch {
    return null;
  }
}

/** As the commands say it: 9.1 ms, 212 ms, 2.5 s, 1 min 30 s, 3 h 12 min, 2 d 5 h. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${Number(s.toFixed(2))} s`;
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let rest = Math.floor(s);
  const said = [];
  for (const [size, unit] of parts) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || said.length) said.push(count ? `${count} ${unit}` : null);
    if (said.length === 2) break;
  }
  return said.filter(Boolean).join(" ");
}

/** A moment by UTC, as logs and commands have it. */
export function moment(text) {
  const at = new Date(text);
  return Number.isNaN(at.valueOf()) ? String(text) : at.toISOString().slice(0, 19).replace("T", " ");
}

export function ago(text) {
  const age = Date.now() - new Date(text).valueOf();
  if (Number.isNaN(age)) return "";
  return age < 1000 ? "now" : `${duration(Math.floor(age / 1000) * 1000)} ago`;
}

export const spaced = (word) => String(word).replaceAll("_", " ");

const EVIDENCE = {
  none_before: "nobody had led before",
  clean_end: "the former active had ended in order, and said so",
  guardian_record: "the former active's guardian had proven that nothing of it is left",
  fenced: "the former active was fenced: the fencing command succeeded",
  lock_and_session: "the former active's session was over and its lock free; it had not said goodbye, and was not fenced",
};

export const evidence = (word) => EVIDENCE[word] ?? `${spaced(word)} (a word of another version)`;
