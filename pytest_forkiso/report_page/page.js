// Puts the page together: what is at its top, the details of a test, and what is chosen where.

const TOP = 10;

function showSummary(model, table) {
  const { run, tests } = model;
  document.getElementById("title").textContent = run.title;
  const when = new Date(run.started * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  document.getElementById("about").textContent = [when, `pytest ${run.pytest}`, `forkiso ${run.plugin}`, `Python ${run.python}`, run.platform].join(" · ");
  const counts = new Map();
  for (const test of tests) counts.set(test.status, (counts.get(test.status) ?? 0) + 1);
  const known = [...counts.keys()].sort((a, b) => STATUSES.indexOf(a) - STATUSES.indexOf(b));
  const bar = document.getElementById("outcome-bar");
  bar.setAttribute("aria-label", known.map((status) => `${counts.get(status)} ${status}`).join(", ") || "no tests");
  for (const status of known) {
    const part = make("i", { colour: colourOf(status), title: `${status}: ${whole(counts.get(status))}` });
    part.style.flexGrow = counts.get(status);
    bar.append(part);
  }
  document.getElementById("chips").append(...known.map((status) => makeChip(status, counts.get(status), table)));
  document.getElementById("tiles").append(...tiles(model).flatMap(([name, value, note]) => [make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, note || "\u00a0")))]));
}

function makeChip(status, count, table) {
  const chip = make("button", { type: "button", class: "chip", "aria-pressed": "false", colour: colourOf(status) }, make("i", { class: "dot" }), make("b", {}, whole(count)), status);
  chip.addEventListener("click", () => {
    const statuses = new Set(table.statuses);
    if (!statuses.delete(status)) statuses.add(status);
    chip.setAttribute("aria-pressed", statuses.has(status));
    table.filter({ statuses });
  });
  return chip;
}

function tiles({ run, tests, lanes }) {
  const busy = lanes.reduce((sum, lane) => sum + busySeconds(lane), 0);
  const measured = (key) => tests.map((test) => test[key]).filter((value) => value !== null).sort((a, b) => a - b);
  const [privates, peaks, forks] = [measured("private_bytes"), measured("peak_bytes"), tests.filter((test) => test.steps.fork).map((test) => test.steps.fork[1] - test.steps.fork[0]).sort((a, b) => a - b)];
  const median = (values) => (values.length ? values[Math.floor(values.length / 2)] : null);
  const found = [
    ["Run", seconds(run.duration), run.exit_status === 2 ? "interrupted" : ""],
    ["Tests", whole(tests.length), `${whole(run.totals.forked)} forked`],
    ["At a time", run.duration ? (busy / run.duration).toFixed(2) : "", `of ${lanes.length}`],
    ["CPU of children", seconds(run.totals.cpu), ""],
  ];
  if (forks.length) found.push(["To a child", seconds(median(forks)), "median"]);
  if (peaks.length) found.push(["Peak memory", bytes(peaks[peaks.length - 1]), "largest"]);
  if (privates.length) found.push(["Private memory", bytes(median(privates)), "median"]);
  found.push(["Left running", whole(run.totals.leftovers), "processes"]);
  return found;
}

function showTop(id, tests, key, write, bar, choose) {
  const ranked = tests.filter((test) => test[key] !== null).sort((a, b) => b[key] - a[key]).slice(0, TOP);
  const list = document.getElementById(id);
  for (const test of ranked) {
    list.append(make("li", {}, make("button", { type: "button", onclick: () => choose(test, true) }, testName(test), make("span", { class: "value" }, write(test[key])), bar(test, ranked[0][key]))));
  }
  if (!ranked.length) list.append(make("li", { class: "muted" }, "Nothing was measured."));
  return ranked.length;
}

function plainBar(key) {
  return (test, largest) => {
    const part = make("i", { colour: "var(--accent)" });
    part.style.width = `${(100 * test[key]) / (largest || 1)}%`;
    return make("div", { class: "bar", "aria-hidden": "true" }, part);
  };
}

function showDetails(test) {
  const panel = document.getElementById("details");
  const close = () => { panel.hidden = true; panel.before_?.focus(); };
  const actions = make("div", { class: "actions" },
    make("button", { type: "button", onclick: () => navigator.clipboard?.writeText(test.nodeid) }, "Copy id"),
    make("button", { type: "button", id: "details-close", onclick: close, "aria-label": "Close" }, "✕"));
  const facts = [
    ["Place", test.place], ["Process", test.pid === null ? "pytest's own" : String(test.pid)], ["Exit", test.exit],
    ["Begun", test.start === null ? "" : `after ${seconds(Math.max(test.start, 0))}`],
    ...lengths(test).map(([name, length]) => [name, seconds(length)]),
    ["CPU", test.cpu === null ? "" : `${seconds(test.cpu_user)} user, ${seconds(test.cpu_system)} system`],
    ["Peak memory", bytes(test.peak_bytes)], ["Private memory", bytes(test.private_bytes)],
    ["Page faults", whole(test.page_faults)], ["Left running", test.leftovers ? whole(test.leftovers) : ""], ["Message", test.message ?? ""],
  ].filter(([, value]) => value);
  panel.replaceChildren(actions, make("span", { class: "status" }, make("i", { class: "dot", colour: colourOf(test.status) }), test.status),
    make("h2", {}, test.nodeid), stepBar(test),
    make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    ...(test.details ? [make("pre", { tabindex: "0" }, test.details)] : []));
  if (panel.hidden) panel.before_ = document.activeElement;
  panel.hidden = false;
  document.getElementById("details-close").focus();
}

function start() {
  const model = readModel();
  const choose = (test, inDetail) => {
    timeline.choose(test);
    table.choose(test);
    document.getElementById("announcer").textContent = `${test.nodeid}: ${test.status}, ${seconds(test.duration)}`;
    if (inDetail) showDetails(test);
  };
  const table = new Table(model, choose);
  const timeline = new Timeline(model, choose);
  showSummary(model, table);
  document.getElementById("legend").append(...[...SHOWN, "waiting"].map((name) => make("li", { colour: `var(--${name})` }, make("i"), name)));
  showTop("slowest", model.tests, "duration", seconds, (test, largest) => stepBar(test, largest), choose);
  const size = model.tests.some((test) => test.private_bytes !== null) ? "private_bytes" : "peak_bytes";
  document.getElementById("largest-title").textContent = size === "private_bytes" ? "Largest (private memory)" : "Largest (peak memory)";
  showTop("largest", model.tests, size, bytes, plainBar(size), choose);
  listen(model, table, timeline);
}

function listen(model, table, timeline) {
  const search = document.getElementById("search");
  search.addEventListener("input", () => table.filter({ query: search.value }));
  for (const [id, act] of [["zoom-in", () => timeline.zoom(0.6)], ["zoom-out", () => timeline.zoom(1 / 0.6)], ["zoom-all", () => timeline.showAll()]]) {
    document.getElementById(id).addEventListener("click", act);
  }
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
    timeline.draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => timeline.draw());
  document.getElementById("download").addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([JSON.stringify(model.report, null, 1)], { type: "application/json" }));
    make("a", { href: address, download: `${model.run.title}-forkiso.json` }).click();
    URL.revokeObjectURL(address);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== search) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape" && !document.getElementById("details").hidden) document.getElementById("details-close").click();
  });
}

start();
