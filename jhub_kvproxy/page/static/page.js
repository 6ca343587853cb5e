"use strict";

// How many routes are in the page at once, and the seconds after which silence is a fault.
const SHOWN = 200, SILENCE = 25, LONGEST_PAUSE = 15;
const UNKNOWN = "\u2013";

const find = (id) => document.getElementById(id);
const routes = new Map();
let site = null;

// ---- the theme, which JupyterHub's own pages share

const root = document.documentElement;
const chosen = localStorage.getItem("jupyterhub-bs-theme");
if (chosen) root.dataset.bsTheme = chosen;
find("theme").addEventListener("click", () => {
  const dark = root.dataset.bsTheme
    ? root.dataset.bsTheme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.bsTheme = dark ? "light" : "dark";
  localStorage.setItem("jupyterhub-bs-theme", root.dataset.bsTheme);
});

// ---- elements: text only ever becomes text

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A screen reader hears what is set, so set only what is new.
function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// Replaces what is in a list or table only where it has changed, so that focus and selection stay.
function fill(place, made) {
  made.forEach((next, index) => {
    const old = place.children[index];
    if (!old) place.append(next);
    else if (!old.isEqualNode(next)) old.replaceWith(next);
  });
  while (place.children.length > made.length) place.lastElementChild.remove();
}

function row(head, cells) {
  const made = element("tr");
  const th = element("th", head);
  th.scope = "row";
  made.append(th, ...cells.map(([text, className]) => element("td", text ?? UNKNOWN, className)));
  return made;
}

// ---- words

const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function ago(seconds) {
  seconds = Math.max(seconds, 0);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]])
    if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit}`;
  return `${Math.round(seconds)} s`;
}

const utc = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";
const clock = (seconds) => utc(seconds).slice(11, 19);

function time(seconds) {
  const made = element("time", utc(seconds).slice(5, 19));
  made.dateTime = new Date(seconds * 1000).toISOString();
  return made;
}

function holder(hub) {
  if (!hub.lease) return "There is no lease (KVProxy.lease_seconds is 0): any hub may write.";
  if (hub.unknown) return `Not known: ${hub.unknown}`;
  if (!hub.holder) return "Nobody has it.";
  const since = hub.since ? Date.parse(hub.since) / 1000 : null;
  return hub.holder + (since ? `, since ${utc(since)} (${ago(site.at - since)})` : "");
}

function state(replica) {
  const isBad = replica.errors.length || replica.current === false;
  return [replica.state, isBad ? "bad" : replica.current ? "good" : ""];
}

function answer(route) {
  if (route.answers === null) return ["not tried yet", ""];
  return route.answers ? [`no: ${route.answers}`, "bad"] : ["answers", "good"];
}

// ---- the page

function showSite() {
  const { hub, store } = site;
  find("verdict").className = site.ok ? "good" : "bad";
  say(find("verdict"), site.ok ? site.verdict : `${plural(site.problems.length, "thing")} to look at.`);
  say(find("looked"), `Seen at ${clock(site.at)} UTC.`);
  say(find("since"), `Changes and faults are those since ${utc(site.since)}, when the page was started.`);
  find("problems-section").hidden = site.ok;
  fill(find("problems"), site.problems.map((text) => element("li", text)));

  const facts = [
    ["Lease", holder(hub)],
    ["Store", `${store.backend}, prefix ${store.prefix}`],
    ["Table", store.error ?? `revision ${store.revision ?? UNKNOWN}, ${plural(store.routes, "route")}, ` +
      `read in ${Math.round(store.latency * 1000)} ms`],
  ];
  if (hub.term !== null) facts.splice(1, 0, ["Term", hub.term.toString(16)]);
  fill(find("site"), facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));

  fill(find("replicas"), site.replicas.map((replica) => row(replica.name, [
    state(replica),
    [replica.behind, "number"],
    [replica.since === null ? null : ago(site.at - replica.since)],
    [replica.routes, "number"],
    [Object.keys(replica.requests).length ? Object.values(replica.requests).reduce((a, b) => a + b) : null, "number"],
    [replica.connections, "number"],
    [replica.version],
    [replica.kind],
    [replica.revision],
  ])));

  fill(find("changes"), listed(site.changes, (change) => {
    const made = element("li");
    made.append(time(change.at), ` ${change.what} `, element("span", change.route));
    if (change.target) made.append(element("span", `, ${change.target}`));
    return made;
  }));
  fill(find("faults"), listed(site.faults, (fault) => {
    const made = element("li");
    made.append(time(fault.since), " ", fault.until === null
      ? element("span", "until now", "bad")
      : element("span", `for ${ago(fault.until - fault.since)}`, "good"), ` ${fault.text}`);
    return made;
  }));
}

const listed = (found, make) => found.length ? found.map(make) : [element("li", "None.")];

const ORDERS = {
  name: () => 0,
  last: ([, a], [, b]) => (b.last ?? "").localeCompare(a.last ?? ""),
  answers: ([, a], [, b]) => Number(!a.answers) - Number(!b.answers),
};

function showRoutes() {
  if (!site) return;
  const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const silent = find("silent").checked;
  const matching = [...routes].filter(([name, route]) =>
    (!silent || route.answers) &&
    words.every((word) => `${name} ${route.owner} ${route.target}`.toLowerCase().includes(word)));
  matching.sort(([a], [b]) => (a < b ? -1 : 1)).sort(ORDERS[find("sort").value]);
  const shown = matching.slice(0, SHOWN);
  const some = matching.length === routes.size ? "" : `, ${matching.length} of them match`;
  const first = shown.length < matching.length ? `; the first ${SHOWN} are shown` : "";
  say(find("count"), plural(routes.size, "route") + some + first + ".");
  fill(find("routes"), shown.map(([name, route]) => row(name, [
    [route.owner || UNKNOWN],
    [route.last ? `${ago(site.at - Date.parse(route.last) / 1000)} ago` : null],
    [route.target],
    answer(route),
  ])));
}

let typed = 0;
find("search").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(showRoutes, 150);
});
find("sort").addEventListener("change", showRoutes);
find("silent").addEventListener("change", showRoutes);
find("filter").addEventListener("submit", (event) => event.preventDefault());

// ---- the trace

const replied = (reply) => reply.status === null ? `does not answer: ${reply.error}` : `answers ${reply.status}`;

function steps(trace) {
  const found = trace.routes.map((route) => route.wins
    ? `Route ${route.routespec} gets it: ${route.target}`
    : `Route ${route.routespec} does not get it: ${route.why}`);
  if (trace.target) found.push(`Target ${trace.target.url} ${replied(trace.target)}`);
  for (const each of trace.replicas) {
    const would = each.routespec === null ? "has no route for it" : `sends it by ${each.routespec} to ${each.target}`;
    found.push(`Replica ${each.name} ${each.error ?? would}` + (each.reply ? `; it ${replied(each.reply)}` : ""));
  }
  return found;
}

find("trace").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = find("trace-verdict"), { trace: url, xsrf } = document.body.dataset;
  place.className = "";
  say(place, "Tracing ...");
  fill(find("trace-steps"), []);
  try {
    const reply = await fetch(url, { method: "POST", body: find("trace-url").value, headers: { "X-XSRFToken": xsrf } });
    if (!reply.ok) throw new Error(reply.status);
    const trace = await reply.json();
    place.className = trace.ok ? "good" : "bad";
    say(place, trace.findings.length ? trace.findings.join(" ") : trace.verdict);
    fill(find("trace-steps"), steps(trace).map((text) => element("li", text)));
  } catch {
    place.className = "bad";
    say(place, "The page got no answer. Reload it, and try again.");
  }
});

// ---- the events

const take = {
  site(data) {
    site = data;
    showSite();
  },
  routes(data) {
    if (data.all) routes.clear();
    for (const name of data.drop) routes.delete(name);
    for (const [name, route] of Object.entries(data.put)) routes.set(name, route);
  },
};

// Takes the text of events as it comes; tells whether an event has ended with it. A long event comes in many parts, so
// each part is looked at once.
function reading() {
  let line = [], name = "";
  const takeLine = (text) => {
    if (text.startsWith("event: ")) name = text.slice(7);
    if (!text.startsWith("data: ") || !(name in take)) return false;
    take[name](JSON.parse(text.slice(6)));
    return true;
  };
  return (part) => {
    let ended = false;
    const lines = part.split("\n");
    const rest = lines.pop();
    for (const end of lines) {
      ended = takeLine([...line, end].join("")) || ended;
      line = [];
    }
    line.push(rest);
    return ended;
  };
}

// fetch rather than EventSource: JupyterHub wants its XSRF token in a header, and the status tells who must log in.
async function follow() {
  const leave = new AbortController();
  let alarm;
  const alive = () => {
    clearTimeout(alarm);
    alarm = setTimeout(() => leave.abort(), SILENCE * 1000);
  };
  try {
    alive();
    const { events, xsrf } = document.body.dataset;
    const reply = await fetch(events, { headers: { "X-XSRFToken": xsrf }, signal: leave.signal, redirect: "manual" });
    if (!reply.ok) return reply.status;
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    const read = reading();
    for (let part; !(part = await reader.read()).done; ) {
      alive();
      if (read(part.value)) showRoutes();
      say(find("connection"), "");
    }
    return 200;
  } catch {
    return 0;
  } finally {
    clearTimeout(alarm);
  }
}

async function run() {
  for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const status = await follow();
    if (status === 403) {
      say(find("connection"), "JupyterHub does not let you see this any more. ");
      const link = element("a", "Log in again");
      link.href = "";
      find("connection").append(link);
      return;
    }
    if (status === 200) pause = 1;
    else say(find("connection"), "The connection is lost: what you see may be old. The page tries again.");
    await new Promise((done) => setTimeout(done, pause * 1000));
  }
}
run();
