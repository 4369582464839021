// The table of nodes: what a member says to all, and beside it what it says of itself when it is asked.

import { by, duration, el, moment, origin, plain, set, spaced } from "./words.js";

const COLUMNS = ["Role", "Lease", "Lock", "ZooKeeper", "Volume", "Coordinator", "Version", "Last word"];
const rows = new Map();

/** When the page may ask other members: their pages may be read from the addresses that this one was served with. */
export const neighbours = document.querySelector("meta[name=neighbours]").content.split(" ").filter(Boolean);

export function showNodes(state, buttons) {
  const body = by("rows");
  const names = [...state.members.keys()].sort();
  for (const [name, row] of rows) {
    if (!state.members.has(name)) {
      row.tr.remove();
      rows.delete(name);
    }
  }
  for (const name of names) {
    const row = rows.get(name) ?? make(name);
    rows.set(name, row);
    fill(row, state.members.get(name), state.details.get(name), state, buttons);
    if (body.children[names.indexOf(name)] !== row.tr) body.insertBefore(row.tr, body.children[names.indexOf(name)] ?? null);
  }
  by("unread").hidden = ![...rows.values()].some((row) => row.unread);
}

function make(name) {
  const cells = COLUMNS.map((label) => el("td", { "data-label": label }, el("div")));
  cells[1].classList.add("lease");
  const bar = el("progress", { max: "1", value: "0", "aria-label": `Lease of ${name}` });
  const left = el("span");
  cells[1].firstChild.append(bar, left);
  const acts = el("td", { class: "acts" });
  const head = el("th", { scope: "row" });
  return { tr: el("tr", {}, head, ...cells, acts), head, cells: cells.map((cell) => cell.firstChild), bar, left, acts, key: "" };
}

function fill(row, member, detail, state, buttons) {
  const leads = state.control?.active?.node === member.node;
  row.tr.classList.toggle("leads", leads);
  const address = origin(member.api);
  const key = JSON.stringify([member.node, address]);
  if (row.key !== key) {
    row.key = key;
    row.head.replaceChildren(address && member.node !== state.self ? el("a", { href: `${address}/` }, member.node) : plain(member.node));
  }
  const gone = member.state === "INACTIVE";
  const [role, , lock, zookeeper, volume, coordinator, version, word] = row.cells;
  set(role, gone ? "gone" : `${member.role}${member.status === "OK" || member.status === "STANDBY" ? "" : ` · ${spaced(member.status)}`}`);
  role.classList.toggle("bad", gone || !["OK", "STANDBY"].includes(member.status));
  const unknown = detail ? null : member.node === state.self ? "…" : "–";
  row.unread = !detail && !gone && member.node !== state.self;
  set(lock, unknown ?? (detail.lock.held ? "held" : detail.lock.holder ? `held by ${detail.lock.holder}` : "not held"));
  set(zookeeper, unknown ?? (detail.zookeeper.state ? `${detail.zookeeper.state}, session ${duration(detail.zookeeper.session_timeout_ms ?? 0)}` : "not used"));
  zookeeper.classList.toggle("bad", Boolean(detail?.zookeeper.state) && detail.zookeeper.state !== "connected");
  set(volume, unknown ?? (detail.lock.path ? `${detail.lock.path.replace(/\/[^/]*$/, "")}, lock ${detail.lock.verified}` : "not used"));
  volume.classList.toggle("bad", detail?.lock.verified === "failed");
  set(coordinator, unknown ?? health(detail.coordinator));
  set(version, member.version);
  set(word, gone && member.last_contact_ms !== null ? `last seen ${duration(member.last_contact_ms)} ago` : member.reason);
  const since = gone ? "" : `${spaced(member.role)} since ${moment(member.since)} UTC`;
  if (role.title !== since) role.title = plain(since);
  buttons(row.acts, member, leads);
}

function health({ pid, ready, restarts, holds_lock: holds }) {
  if (pid === null) return "does not run";
  const more = [restarts ? `${restarts} restarts` : null, holds === false ? "has closed the lock" : null].filter(Boolean);
  return [`${ready ? "ready" : "not ready"}, pid ${pid}`, ...more].join(", ");
}

/** The bars, as they drain. */
export function drain(state) {
  for (const [name, row] of rows) {
    const detail = state.details.get(name);
    const told = detail?.lease.remaining_ms;
    row.bar.hidden = told === null || told === undefined;
    if (row.bar.hidden) {
      set(row.left, detail ? "none" : "–");
      continue;
    }
    const left = Math.max(0, told - (performance.now() - detail.at));
    const whole = Math.max(detail.zookeeper.session_timeout_ms ?? 0, told, Number(row.bar.max) || 0);
    row.bar.max = whole;
    row.bar.value = left;
    row.bar.classList.toggle("low", left < whole / 4);
    set(row.left, `${(left / 1000).toFixed(1)} s left`);
  }
}
