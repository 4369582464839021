// The page for 3 a.m.: who leads, since when, who could take over, what is wrong, what to do.

import { nodeButtons, showActions, start, tokenIsWrong } from "./actions.js";
import { Feed, ask } from "./feed.js";
import { open, remember, showHistory } from "./history.js";
import { drain, neighbours, showNodes } from "./nodes.js";
import { by, duration, el, origin, plain, set } from "./words.js";

const state = { self: null, live: false, control: null, members: new Map(), history: new Map(), details: new Map(), heard: 0 };
const wall = new URLSearchParams(location.search).has("wall");
document.body.classList.toggle("wall", wall);
remember(state);

let fresh = null;

function told(name, data, last) {
  if (name === "control") {
    const { full_state: full, ...control } = data;
    state.control = control;
    // What was known before is void once the whole has been told.
    if (full) fresh = { members: new Set(), history: new Set() };
  } else if (name === "member") {
    if (data.forgotten) state.members.delete(data.node);
    else state.members.set(data.node, data);
    fresh?.members.add(data.node);
  } else if (name === "transition") {
    state.history.set(data.epoch, data);
    fresh?.history.add(data.epoch);
  }
  if (last && fresh) {
    for (const node of state.members.keys()) if (!fresh.members.has(node)) state.members.delete(node);
    for (const epoch of state.history.keys()) if (!fresh.history.has(epoch)) state.history.delete(epoch);
    fresh = null;
  }
  if (!fresh) soon();
}

let due = false;
function soon() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    show();
    verdict();
  }, 30);
}

function show() {
  set(by("cluster"), state.control?.cluster ?? "…");
  showActions(state);
  showNodes(state, nodeButtons);
  showHistory(state);
}

// The verdict is the server's, in the words of `primacy status`.

let announced = "";
let asking = false;
let askAgain = false;

async function verdict() {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  do {
    askAgain = false;
    const { status, body } = await ask("/verdict");
    if (status === 200 && state.live) pronounce(body);
  } while (askAgain);
  asking = false;
}

let last = null;

function pronounce(told) {
  const { word, sentence, asked_for: asked, advice, node } = told;
  last = told;
  state.self = node;
  set(by("self"), node);
  headline(word, `${sentence}.`);
  const key = JSON.stringify([asked, advice]);
  if (by("verdict").dataset.key !== key) {
    by("verdict").dataset.key = key;
    by("asked-for").replaceChildren(...asked.map((text) => el("li", {}, ...marked(text))));
    by("advice").replaceChildren(...advice.paragraphs.map((text) => el("p", {}, ...marked(text))),
      el("p", {}, el("a", { href: advice.link }, `More: ${advice.title}`)));
  }
  const heard = `${word} ${state.control?.active?.node ?? ""} ${asked.length}`;
  if (announced !== heard) {
    announced = heard;
    set(by("announcement"), `${word}: ${sentence}. ${asked.join(". ")}`);
  }
}

function headline(word, sentence) {
  document.body.dataset.health = word;
  set(by("word"), word);
  set(by("sentence"), sentence);
  document.title = plain(`${word}: ${sentence}`);
}

/** `code` of a text. */
function marked(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

// The connection.

let lostSince = null;

function connection(word) {
  const live = word === "live" || word === "full";
  state.live = live;
  by("advice").hidden = by("asked-for").hidden = !live;
  if (live) verdict();
  by("token-wanted").hidden = word !== "token";
  if (word === "token") tokenIsWrong();
  lostSince = live ? null : lostSince ?? Date.now();
  state.word = word;
  tell();
  if (state.control) showActions(state), showNodes(state, nodeButtons);
}

function tell() {
  document.body.classList.toggle("stale", !state.live && state.word !== undefined);
  if (state.word === undefined) return;
  if (state.word === "live") set(by("connection"), "live");
  else if (state.word === "full") set(by("connection"), "not live: too many read; asked every 5 s");
  else if (state.word === "token") {
    set(by("connection"), "a token is needed");
    headline("UNKNOWN", "This node shows the cluster to those with a token: enter one under Act.");
  }
  else {
    const others = neighbours.filter((it) => it !== location.origin);
    const at = by("connection");
    const text = `Connection lost ${duration(Math.floor((Date.now() - lostSince) / 1000) * 1000)} ago: what is shown is old. Trying again. `;
    if (at.dataset.lost !== "1") {
      at.dataset.lost = "1";
      at.replaceChildren(el("span", {}, text), ...(others.length ? ["Other nodes: ", ...others.flatMap((it) => [el("a", { href: `${it}/` }, it), " "])] : []));
    } else set(at.firstChild, text);
    const then = last ? ` The last that ${last.node} said: ${last.word}: ${last.sentence}.` : "";
    headline("UNKNOWN", `This page has no connection to the cluster.${then}`);
    if (announced !== "lost") set(by("announcement"), "UNKNOWN: this page has no connection to the cluster.");
    announced = "lost";
    return;
  }
  delete by("connection").dataset.lost;
}

// What members say of themselves.

const rest = new Map();

async function details() {
  if (document.hidden) return;
  const mine = neighbours.includes(location.origin);
  await Promise.all([...state.members.values()].map(async (member) => {
    const own = member.node === state.self;
    const at = own ? "" : origin(member.api);
    if (member.state === "INACTIVE" || (!own && (!mine || !at || !neighbours.includes(at)))) {
      state.details.delete(member.node);
      return;
    }
    const pause = rest.get(member.node);
    if (pause && Date.now() < pause.until) return;
    // The codes are for load balancers.
    const { status, body } = await ask("/server_status?active=200&standby=200&out=200", { at, patience: 3000 });
    if (status === 200 && body?.node === member.node) {
      rest.delete(member.node);
      state.details.set(member.node, { ...body, at: performance.now() });
    } else {
      state.details.delete(member.node);
      const length = Math.min(2 * (pause?.length ?? 1000), 60000);
      rest.set(member.node, { length, until: Date.now() + length });
    }
  }));
  showNodes(state, nodeButtons);
}

async function again(every, work) {
  for (;;) {
    await work();
    await new Promise((wake) => setTimeout(wake, every));
  }
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const feed = new Feed(told, connection);
start(() => feed.again());
by("epoch-close").addEventListener("click", () => {
  by("epoch").hidden = true;
  by("history").querySelector("button")?.focus();
});
feed.run();
again(1000, details);
again(5000, async () => { if (state.live) await verdict(); });
again(1000, async () => tell());
again(calm.matches ? 1000 : 200, async () => drain(state));
const wanted = /^#epoch-(\d+)$/.exec(location.hash);
if (wanted) setTimeout(() => open(Number(wanted[1])), 1000);
