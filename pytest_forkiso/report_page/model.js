"use strict";
// The data of the page, and how its numbers are written.

const STEPS = ["fork", "setup", "call", "teardown", "end"];
const SHOWN = ["fork", "setup", "call", "teardown", "rest"];
const STATUSES = ["crashed", "timeout", "error", "failed", "rerun", "xpassed", "xfailed", "skipped", "passed"];

function readModel() {
  const report = JSON.parse(document.getElementById("data").textContent);
  const tests = report.tests.map(toRow);
  return { run: report.run, tests, lanes: toLanes(tests), report };
}

function toRow(test, index) {
  const spans = toSpans(test.steps);
  const start = spans.length ? Math.min(...spans.map((span) => span[1])) : null;
  const stop = spans.length ? Math.max(...spans.map((span) => span[2])) : null;
  const row = { ...test, index, spans, start, stop, duration: start === null ? null : stop - start };
  row.cpu = test.cpu_user === null ? null : test.cpu_user + test.cpu_system;
  row.status = statusOf(test);
  row.place = [test.worker, test.job === null ? null : `job ${test.job + 1}`].filter(Boolean).join(" ") || "pytest";
  row.exit = exitOf(test);
  row.text = [test.nodeid, row.status, row.place, row.exit, test.message ?? "", test.pid ?? ""].join("\n").toLowerCase();
  return row;
}

/** Give the steps without a gap: "rest" is the end of the process, and what is reported between two phases. */
function toSpans(steps) {
  const spans = [];
  for (const name of STEPS.filter((each) => steps[each])) {
    const [start, stop] = steps[name];
    const before = spans.at(-1)?.[2] ?? start;
    if (start > before) spans.push(["rest", before, start]);
    spans.push([name === "end" ? "rest" : name, start, stop]);
  }
  return spans;
}

function lengths(test) {
  const found = new Map();
  for (const [name, start, stop] of test.spans) found.set(name, (found.get(name) ?? 0) + stop - start);
  return [...found];
}

function statusOf(test) {
  const isFailure = ["failed", "error", "unknown"].includes(test.outcome);
  if (isFailure && test.end === "crash") return "crashed";
  if (isFailure && test.end === "timeout") return "timeout";
  return test.outcome;
}

function exitOf(test) {
  if (test.signal !== null) return SIGNALS[test.signal] ?? `signal ${test.signal}`;
  return test.exit_code === null ? "" : `exit ${test.exit_code}`;
}

const SIGNALS = { 1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 31: "SIGSYS" };

function toLanes(tests) {
  const lanes = new Map();
  for (const test of tests) {
    if (test.start === null) continue;
    if (!lanes.has(test.place)) lanes.set(test.place, { name: test.place, worker: test.worker ?? "", job: test.job ?? -1, tests: [] });
    lanes.get(test.place).tests.push(test);
  }
  const sorted = [...lanes.values()].sort((a, b) => a.worker.length - b.worker.length || a.worker.localeCompare(b.worker) || a.job - b.job);
  for (const lane of sorted) lane.tests.sort((a, b) => a.start - b.start);
  return sorted;
}

/** Give how long a lane had a test: one that ends, and the next one, which begins meanwhile, count once. */
function busySeconds(lane) {
  let [sum, reached] = [0, 0];
  for (const test of lane.tests) {
    sum += Math.max(0, test.stop - Math.max(test.start, reached));
    reached = Math.max(reached, test.stop);
  }
  return sum;
}

const colourOf = (status) => `var(--${STATUSES.includes(status) ? status : "other"})`;

function seconds(value) {
  if (value === null) return "";
  if (value < 0.0009995) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 0.9995) return `${(value * 1e3).toFixed(value < 0.00995 ? 1 : 0)} ms`;
  if (value < 59.95) return `${value.toFixed(value < 9.95 ? 2 : 1)} s`;
  const minutes = Math.floor(Math.round(value) / 60);
  const rest = String(Math.round(value) % 60).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${rest} min` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h`;
}

function bytes(value) {
  if (value === null) return "";
  const unit = value < 999500 ? [1e3, "kB"] : value < 999.5e6 ? [1e6, "MB"] : [1e9, "GB"];
  const number = value / unit[0];
  return `${number.toFixed(number < 9.95 && value ? 1 : 0)} ${unit[1]}`;
}

const whole = (value) => (value === null ? "" : value.toLocaleString("en"));

/** Make an element. Texts come in as text, never as markup: ids of tests may hold anything. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "colour") element.style.setProperty("--colour", value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function stepBar(test, scale = test.duration) {
  const bar = make("div", { class: "bar", "aria-hidden": "true" });
  for (const [name, start, stop] of test.spans) {
    const part = make("i", { colour: `var(--${name})`, title: `${name}: ${seconds(stop - start)}` });
    part.style.width = `${(100 * (stop - start)) / (scale || 1)}%`;
    bar.append(part);
  }
  return bar;
}

function testName(test) {
  const [file, ...rest] = test.nodeid.split("::");
  const name = rest.length ? rest.join("::") : file;
  const attempt = test.attempt ? make("em", {}, `  attempt ${test.attempt + 1}`) : "";
  return make("span", { class: "name", title: test.nodeid }, make("em", {}, rest.length ? `${file}::` : ""), name, attempt);
}
