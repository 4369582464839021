// The cluster as it changes. By fetch, for EventSource cannot show a token.

// A member gives a sign of life every five seconds.
const SILENCE = 12000;
const LONGEST_WAIT = 10000;
const POLL = 5000;

let token = sessionStorage.getItem("token") ?? "";

export const hasToken = () => token !== "";

export function useToken(text) {
  token = text;
  if (text) sessionStorage.setItem("token", text);
  else sessionStorage.removeItem("token");
}

/** Asks a member; `at`: its origin, this one's if none. Gives the status (0: no answer) and the body. */
export async function ask(path, { method = "GET", body, at = "", patience = 10000 } = {}) {
  const headers = {};
  // A health check is everybody's.
  if (token && !path.startsWith("/server_status")) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(at + path, {
      method, headers, cache: "no-store", signal: AbortSignal.timeout(patience),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json().catch(() => null) };
  } catch {
    return { status: 0, body: null };
  }
}

/** Follows /events for ever. `told(name, data, last)`; `state(word, wait)`: live, lost, full, token. */
export class Feed {
  constructor(told, state) {
    this.told = told;
    this.state = state;
    this.last = null;
    this.abort = null;
    this.wake = null;
    this.hurry = false;
    window.addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => document.hidden || this.wake?.());
  }

  /** Asks at once, with the present token. */
  again() {
    this.hurry = true;
    this.abort?.abort();
    this.wake?.();
  }

  async run() {
    let wait = 500;
    for (;;) {
      const began = Date.now();
      const end = await this.once();
      if (this.hurry) {
        this.hurry = false;
        wait = 500;
        continue;
      }
      if (end === "ended" && Date.now() - began > 1000) {
        wait = 500;
        continue;
      }
      wait = end === "token" ? 60000 : end === "full" ? POLL : Math.min(wait * 2, LONGEST_WAIT);
      this.state(end === "ended" ? "lost" : end, wait);
      if (end === "full") await this.poll();
      await new Promise((wake) => {
        this.wake = wake;
        setTimeout(wake, wait);
      });
      [this.wake, this.hurry] = [null, false];
    }
  }

  async once() {
    this.abort = new AbortController();
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.abort.abort(), SILENCE);
    };
    alive();
    try {
      const headers = { Accept: "text/event-stream" };
      if (token) headers.Authorization = `Bearer ${token}`;
      if (this.last) headers["Last-Event-ID"] = this.last;
      const answer = await fetch("/events", { headers, cache: "no-store", signal: this.abort.signal });
      if (answer.status === 401) return "token";
      if (answer.status === 503) return "full";
      if (!answer.ok) return "lost";
      this.state("live", 0);
      const reader = answer.body.getReader();
      const decoder = new TextDecoder();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "ended";
        alive();
        text += decoder.decode(value, { stream: true });
        for (let at = text.indexOf("\n\n"); at >= 0; at = text.indexOf("\n\n")) {
          this.event(text.slice(0, at));
          text = text.slice(at + 2);
        }
      }
    } catch {
      return "lost";
    } finally {
      clearTimeout(timer);
    }
  }

  event(block) {
    let [name, data, id] = ["", "", null];
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
      else if (line.startsWith("id: ")) id = line.slice(4);
    }
    if (!data) return;
    this.told(name, JSON.parse(data), id !== null);
    this.last = id ?? this.last;
  }

  /** Without a place among those who read events. */
  async poll() {
    const [cluster, history] = await Promise.all([ask("/cluster"), ask("/history")]);
    if (cluster.status !== 200 || history.status !== 200) return;
    const { members, ...control } = cluster.body;
    this.told("control", { ...control, full_state: true }, false);
    for (const member of members) this.told("member", member, false);
    history.body.forEach((entry, index) => this.told("transition", entry, index + 1 === history.body.length));
    if (!history.body.length) this.told("", null, true);
  }
}
