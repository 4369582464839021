// What operators may ask for. Each is confirmed; none while another is under way.

import { ask, hasToken, useToken } from "./feed.js";
import { ago, by, duration, el, set } from "./words.js";

let state = null;
let again = () => {};
let pending = null;

/** Why nothing may be begun at this moment; null: it may. */
function busy() {
  const { action } = state.control ?? {};
  if (!state.live) return "this page has lost the cluster";
  if (action && ["switchover", "upgrade", "rehearse"].includes(action.kind)) return `a ${action.kind} is under way, asked for by ${action.by}`;
  const moving = [...state.members.values()].find((member) => ["ISOLATING", "SHUTTING_DOWN"].includes(member.state));
  if (moving) return `${moving.node} is being taken out`;
  return null;
}

function button(text, why, click, options = {}) {
  const it = el("button", { type: "button", "aria-disabled": why ? "true" : null, title: why, "aria-describedby": why ? "why-not" : null, ...options }, text);
  it.addEventListener("click", () => (why ? set(by("why-not"), `Not now: ${why}.`) : click()));
  return it;
}

/** Replaces buttons only where they differ, and keeps the focus. */
function put(at, key, make) {
  if (at.dataset.key === key) return;
  const focused = [...at.children].indexOf(document.activeElement);
  at.dataset.key = key;
  at.replaceChildren(...make());
  if (focused >= 0) at.children[Math.min(focused, at.children.length - 1)]?.focus();
}

export function showActions(current) {
  state = current;
  const { action, paused, switchover } = state.control ?? {};
  set(by("under-way"), action ? sentence(action) : "");
  const why = busy();
  const noSwitchover = why ?? (paused ? "elections are paused: resume first" : state.control?.active ? null : "nobody leads");
  put(by("buttons"), JSON.stringify([why, noSwitchover, paused, Boolean(switchover)]), () => [
    button("Switchover…", noSwitchover, () => handOver(null), { class: "chief" }),
    switchover && button("Cancel the switchover…", null, cancel),
    paused ? button("Resume…", state.live ? null : why, resume) : button("Pause…", why, pause),
  ].filter(Boolean));
  set(by("why-not"), why ? `Not now: ${why}.` : paused ? "Paused: no switchover until it is resumed." : "");
}

/** One word per node: what can be asked of it. */
export function nodeButtons(at, member) {
  if (!state) return;
  const why = busy();
  const out = ["ISOLATED", "ISOLATING"].includes(member.state);
  const always = member.always_on || ["INACTIVE", "SHUTTING_DOWN"].includes(member.state);
  put(at, JSON.stringify([why, member.node, member.state, always]), () => [
    out ? button("Activate…", member.state === "ISOLATING" ? null : why, () => activate(member.node), { class: "small", "aria-label": `Activate ${member.node}` })
      : always && member.state !== "ACTIVE" ? "" : button("Isolate…", why, () => isolate(member.node), { class: "small", "aria-label": `Isolate ${member.node}` }),
  ].filter(Boolean));
}

function sentence({ kind, node, by: who, at, reason, until }) {
  const whom = node ? ` ${kind === "switchover" ? "to" : "of"} ${node}` : "";
  const said = [`${kind}${whom}, asked for by ${who} ${ago(at)}`];
  if (until) said.push(`until ${until.slice(0, 19).replace("T", " ")} UTC`);
  const text = `${said.join(", ")}${reason ? `: ${reason}` : ""}`;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// The dialog.

function field(label, attributes) {
  const input = el("input", { type: "text", ...attributes });
  return [el("label", {}, label, input), input];
}

function tick(text, attributes = {}) {
  const input = el("input", { type: "checkbox", ...attributes });
  return [el("label", {}, input, ` ${text}`), input];
}

/** `send`: asks for it; gives the answer. */
function confirm(title, yes, children, send) {
  set(by("ask-title"), title);
  set(by("ask-yes"), yes);
  set(by("ask-problem"), "");
  by("ask-body").replaceChildren(...children);
  by("ask-yes").disabled = false;
  pending = send;
  if (!by("ask").open) by("ask").showModal();
}

/** A line a part. */
function complain(text) {
  by("ask-problem").replaceChildren(...text.split("\n").map((line) => el("span", {}, line)));
}

function problem({ status, body }) {
  if (status === 0) return "No answer: whether it was done is not known. Look at the cluster first.";
  const reasons = Object.entries(body?.reasons ?? {}).map(([node, why]) => `${node}: ${why}`);
  const text = [body?.error ?? `The answer was ${status}.`, ...reasons].join("\n");
  if (status === 401) return `${hasToken() ? "The token is wrong or has expired" : "A token is needed"}: enter one under Act.\n${text}`;
  return text;
}

async function submit(event) {
  event.preventDefault();
  if (!pending || by("ask-yes").disabled) return;
  by("ask-yes").disabled = true;
  set(by("ask-problem"), "");
  const answer = await pending();
  by("ask-yes").disabled = false;
  if (answer.status >= 200 && answer.status < 300) {
    by("ask").close();
    return;
  }
  if (answer.status === 401) tokenIsWrong();
  complain(problem(answer));
  if (answer.status === 409 && forced) forced.label.hidden = false;
}

let forced = null;
const reasonField = () => field("Why (kept, and shown to all)", { maxlength: "500" });
const post = (path, body) => ask(path, { method: "POST", body });

async function handOver() {
  forced = null;
  confirm("Hand over?", "Hand over", [el("p", {}, "Asking who could take over…")], async () => ({ status: 400, body: { error: "Not known yet." } }));
  by("ask-yes").disabled = true;
  const plan = await post("/switchover", { dry_run: true });
  if (!by("ask").open) return;
  if (plan.status === 401) tokenIsWrong();
  const candidates = Object.entries(plan.body?.candidates ?? {}).filter(([node]) => node !== plan.body.from);
  const choices = candidates.map(([node, why]) => {
    const input = el("input", { type: "radio", name: "to", value: node, disabled: why !== null, checked: why === null && node === plan.body.to });
    return el("label", {}, input, ` ${node}${why === null ? "" : `: ${why}`}`);
  });
  const gap = plan.body?.expected_gap_ms;
  const expected = gap ? `about ${duration(gap.median)} without a coordinator, ${duration(gap.maximum)} at most, as the last ones took` : "how long there will be no coordinator is not known: none was handed over yet";
  const [reasonLabel, reason] = reasonField();
  const [nowLabel, now] = tick("At once, without draining");
  const children = [
    plan.body?.from && el("p", {}, `${plan.body.from} stops its coordinator and another node starts it: ${expected}.`),
    choices.length ? el("fieldset", {}, el("legend", {}, "To"), ...choices) : null,
    reasonLabel, nowLabel,
  ].filter(Boolean);
  confirm("Hand over?", "Hand over", children, () => post("/switchover?wait=false", {
    to: by("ask-body").querySelector("input[name=to]:checked")?.value ?? null,
    now: now.checked, expect_epoch: plan.body.expect_epoch, reason: reason.value || null,
  }));
  if (plan.status !== 200) complain(problem(plan));
  by("ask-yes").disabled = plan.status !== 200;
}

function cancel() {
  forced = null;
  const [label, reason] = reasonField();
  confirm("Cancel the switchover?", "Cancel it", [el("p", {}, "Nobody is stopped for it any more, unless it is too late."), label],
    () => ask("/switchover", { method: "DELETE", body: { reason: reason.value || null } }));
}

function isolate(node) {
  const leads = state.control?.active?.node === node;
  const [label, reason] = reasonField();
  const [lastsLabel, lasts] = field("For how long (2h, 90m; empty: until it is activated)", { inputmode: "text" });
  const [nowLabel, now] = tick("At once, without draining");
  const [forceLabel, force] = tick("Even though nobody else could lead");
  forceLabel.hidden = true;
  forced = { label: forceLabel };
  const what = leads ? `${node} leads. Its coordinator is stopped and another node takes over.` : `${node} does not take over until it is activated again.`;
  confirm(`Isolate ${node}?`, "Isolate", [el("p", {}, what), label, lastsLabel, nowLabel, forceLabel],
    () => post(`/members/${encodeURIComponent(node)}/state`, {
      state: now.checked ? "ISOLATED" : "ISOLATING", now: now.checked, force: force.checked && !forceLabel.hidden, for: lasts.value || null, reason: reason.value || null,
    }));
}

function activate(node) {
  forced = null;
  const [label, reason] = reasonField();
  confirm(`Activate ${node}?`, "Activate", [el("p", {}, `${node} may lead again. Nobody is stopped for it.`), label],
    () => post(`/members/${encodeURIComponent(node)}/state`, { state: "ACTIVE", reason: reason.value || null }));
}

function pause() {
  forced = null;
  const [label, reason] = reasonField();
  const [lastsLabel, lasts] = field("For how long (2h, 90m)", { value: "2h" });
  confirm("Pause the cluster?", "Pause", [el("p", {}, "While it lasts no other node takes over from one that fails."), lastsLabel, label],
    () => post("/pause", { for: lasts.value || null, reason: reason.value || null }));
}

function resume() {
  forced = null;
  const [label, reason] = reasonField();
  confirm("Resume?", "Resume", [el("p", {}, "Elections go on: another node takes over where one fails."), label],
    () => post("/resume", { reason: reason.value || null }));
}

// The token.

export function tokenIsWrong() {
  const text = hasToken() ? "This token is wrong or has expired." : "A token is needed.";
  set(by("token-state"), text);
  by("token-state").classList.add("bad");
}

export function start(changed) {
  again = changed;
  by("ask-form").addEventListener("submit", submit);
  by("ask-no").addEventListener("click", () => by("ask").close());
  by("ask").addEventListener("close", () => { pending = null; });
  by("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(by("token").value.trim());
    by("token").value = "";
    said();
    again();
  });
  by("token-forget").addEventListener("click", () => {
    useToken("");
    said();
    again();
  });
  said();
}

function said() {
  by("token-state").classList.remove("bad");
  set(by("token-state"), hasToken() ? "A token is used in this tab." : "No token: what can be asked for without one depends on this node.");
}
