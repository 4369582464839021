// Past leaderships, and how one of them began.

import { ask } from "./feed.js";
import { neighbours } from "./nodes.js";
import { ago, by, duration, el, evidence, moment, origin, set, spaced } from "./words.js";

const ORDERED = ["stopped", "switchover", "isolated"];
const shown = new Map();

export function showHistory(state) {
  const list = by("leaderships");
  const entries = [...state.history.values()].sort((a, b) => b.epoch - a.epoch);
  by("no-history").hidden = entries.length > 0;
  entries.forEach((entry, index) => {
    const key = JSON.stringify(entry);
    let item = shown.get(entry.epoch);
    if (item?.key !== key) {
      const li = leadership(entry);
      const focused = item?.li.contains(document.activeElement);
      item?.li.replaceWith(li);
      if (focused) li.querySelector("button")?.focus();
      item = { key, li };
      shown.set(entry.epoch, item);
    }
    if (list.children[index] !== item.li) list.insertBefore(item.li, list.children[index] ?? null);
  });
  for (const [epoch, { li }] of shown) {
    if (!state.history.has(epoch)) {
      li.remove();
      shown.delete(epoch);
    }
  }
}

function leadership(entry) {
  const lasts = !entry.to;
  const failed = !lasts && !ORDERED.includes(entry.cause);
  const length = lasts ? "" : `, for ${duration(new Date(entry.to) - new Date(entry.from))}`;
  const end = lasts ? "leads still" : `ended: ${spaced(entry.cause ?? "unknown")}`;
  const asked = entry.by ? `asked for by ${entry.by}${entry.reason ? `: ${entry.reason}` : ""}` : null;
  const began = entry.gap_ms === null || entry.gap_ms === undefined ? null : `${duration(entry.gap_ms)} without a coordinator before it`;
  return el("li", { class: lasts ? "lasts" : failed ? "failed" : "ended" },
    el("p", {}, el("b", {}, `Epoch ${entry.epoch}: ${entry.node}`), `, ${end}`),
    asked && el("p", {}, asked),
    entry.detail && el("p", {}, entry.detail),
    el("p", { class: "quiet" }, el("time", { datetime: entry.from, title: ago(entry.from) }, `from ${moment(entry.from)} UTC`), length),
    began && el("p", {}, began),
    entry.evidence && el("p", { class: "quiet" }, `Evidence: ${evidence(entry.evidence)}`),
    el("button", { type: "button", class: "small", click: () => open(entry.epoch) }, "How it began", el("span", { class: "unseen" }, ` epoch ${entry.epoch}`)));
}

let stateOf = null;
export const remember = (state) => { stateOf = state; };

/** One fail-over, of what all members that answer have recorded. */
export async function open(epoch) {
  const section = by("epoch");
  section.hidden = false;
  set(by("epoch-title"), `How epoch ${epoch} began`);
  set(by("epoch-about"), "Asking the members for their recordings…");
  by("steps").replaceChildren();
  by("epoch-missing").replaceChildren();
  section.focus();
  const answers = await Promise.all([...stateOf.members.values()].map(async (member) => {
    if (member.node === stateOf.self) return [member.node, await ask(`/history/${epoch}`)];
    const at = origin(member.api);
    if (member.state === "INACTIVE") return [member.node, { status: 0, body: { error: "it is not here" } }];
    if (!at || !neighbours.includes(at)) return [member.node, { status: 0, body: { error: "it cannot be read from this page" } }];
    return [member.node, await ask(`/history/${epoch}`, { at })];
  }));
  const entry = stateOf.history.get(epoch);
  const before = [...stateOf.history.values()].filter((it) => it.epoch < epoch).sort((a, b) => b.epoch - a.epoch)[0];
  set(by("epoch-about"), [
    `${entry?.node ?? "?"} from ${moment(entry?.from)} UTC.`,
    before && `Before it: ${before.node} with epoch ${before.epoch}, which ended: ${spaced(before.cause ?? "it is not known why")}.`,
    entry?.gap_ms != null && `Without a coordinator: ${duration(entry.gap_ms)}.`,
    entry?.evidence && `Evidence: ${evidence(entry.evidence)}.`,
  ].filter(Boolean).join(" "));
  const steps = inOrder(answers.flatMap(([, { status, body }]) => (status === 200 ? body.steps : [])), entry);
  by("steps").replaceChildren(...steps.map((step, index) => {
    const after = index ? micros(step.at) - micros(steps[index - 1].at) : 0;
    return el("tr", {},
      el("td", {}, step.at.slice(11, 26)),
      el("td", {}, `${step.unordered ? "~ " : ""}${index ? duration(after / 1000) : ""}`),
      el("td", {}, `${step.node}${step.process === "guardian" ? " (guardian)" : ""}`),
      el("td", {}, step.what));
  }));
  const missing = answers.filter(([, { status }]) => status !== 200);
  by("epoch-missing").replaceChildren(
    ...(steps.some((step) => step.unordered) ? [el("li", {}, "~: only wall clocks put it behind the step before it, which was on another host")] : []),
    ...missing.map(([node, { body }]) => el("li", {}, `No recording of ${node}: ${body?.error ?? "it does not answer"}`)));
}

const micros = (at) => Date.parse(`${at.slice(0, 19)}Z`) * 1000 + Number(at.slice(20, 26));

/** As `primacy history EPOCH`: by time, up to the moment at which a coordinator ran again. */
function inOrder(steps, entry) {
  steps.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.boot_ns - b.boot_ns));
  steps.forEach((step, index) => { step.unordered = index > 0 && steps[index - 1].boot !== step.boot; });
  const ready = steps.find((step) => step.node === entry?.node && step.what.startsWith("promoting -> active") && step.at >= entry.from.slice(0, 23));
  return ready ? steps.filter((step) => step.at <= ready.at) : steps;
}
