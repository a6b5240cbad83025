// The timeline: a lane for each job, drawn on a canvas, however many tests there are.

const GUTTER = 96;
const AXIS = 24;
const TROUBLE = ["crashed", "timeout", "error", "failed"];

class Timeline {
  constructor(model, onChoose) {
    this.canvas = document.getElementById("timeline");
    this.tooltip = document.getElementById("tooltip");
    this.model = model;
    this.onChoose = onChoose;
    this.chosen = null;
    this.laneHeight = model.lanes.length > 12 ? 18 : model.lanes.length > 4 ? 24 : 32;
    this.end = Math.max(model.run.duration, 1e-3, ...model.lanes.map((lane) => lane.tests.reduce((last, test) => Math.max(last, test.stop), 0)));
    this.canvas.setAttribute("aria-label", `Timeline of ${whole(model.tests.length)} tests in ${model.lanes.length} lanes over ${seconds(this.end)}`);
    this.listen();
    this.showAll();
  }

  showAll() {
    const starts = this.model.lanes.flatMap((lane) => (lane.tests.length ? [lane.tests[0].start] : []));
    const first = starts.length ? Math.min(...starts) : 0;
    this.view = [first < 0.1 * this.end ? 0 : first * 0.97, this.end];
    this.draw();
  }

  zoom(factor, at = (this.view[0] + this.view[1]) / 2) {
    const shortest = this.end / 1e6;
    const length = Math.min(Math.max((this.view[1] - this.view[0]) * factor, shortest), this.end * 1.05);
    const part = (at - this.view[0]) / (this.view[1] - this.view[0]);
    this.move(at - part * length, length);
  }

  move(start, length = this.view[1] - this.view[0]) {
    const from = Math.min(Math.max(start, -0.02 * this.end), 1.05 * this.end - length);
    this.view = [from, from + length];
    this.draw();
  }

  choose(test) {
    this.chosen = test;
    if (test && test.start !== null) {
      const length = this.view[1] - this.view[0];
      if (test.stop < this.view[0] || test.start > this.view[1]) this.move((test.start + test.stop) / 2 - length / 2);
    }
    this.draw();
  }

  draw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.paint();
    });
  }

  x(time) {
    return GUTTER + ((time - this.view[0]) / (this.view[1] - this.view[0])) * (this.width - GUTTER);
  }

  paint() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.parentElement.clientWidth;
    const height = AXIS + this.laneHeight * Math.max(1, this.model.lanes.length);
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.colours = new Map();
    context.font = "11px system-ui, sans-serif";
    this.paintAxis(context, height);
    this.model.lanes.forEach((lane, index) => this.paintLane(context, lane, AXIS + index * this.laneHeight));
    this.paintChosen(context);
  }

  colour(name) {
    if (!this.colours.has(name)) {
      // The canvas does not know light-dark(): an element's computed colour does.
      this.probe ??= this.canvas.parentElement.appendChild(make("i", { hidden: "" }));
      this.probe.style.color = `var(--${name})`;
      this.colours.set(name, getComputedStyle(this.probe).color);
    }
    return this.colours.get(name);
  }

  paintAxis(context, height) {
    const length = this.view[1] - this.view[0];
    const wanted = (length * 110) / Math.max(1, this.width - GUTTER);
    const power = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= wanted);
    context.textBaseline = "middle";
    for (let time = Math.ceil(Math.max(0, this.view[0]) / step) * step; time <= this.view[1]; time += step) {
      const x = this.x(time);
      context.fillStyle = this.colour("edge");
      context.fillRect(x, AXIS - 4, 1, height);
      context.fillStyle = this.colour("muted");
      context.fillText(tick(time, step), x + 4, AXIS / 2);
    }
  }

  paintLane(context, lane, top) {
    const height = this.laneHeight - 6;
    context.fillStyle = this.colour("muted");
    context.textBaseline = "middle";
    context.fillText(lane.name, 2, top + height / 2 + 1, GUTTER - 8);
    context.save();
    context.beginPath();
    context.rect(GUTTER, top, this.width - GUTTER, this.laneHeight);
    context.clip();
    const tests = lane.tests.filter((test) => test.start <= this.view[1] && test.stop >= this.view[0]);
    this.paintNarrow(context, tests.filter((test) => !this.isWide(test)), top, height);
    this.paintWaiting(context, lane.tests, top + height * 0.3, height * 0.4);
    for (const test of tests.filter((each) => this.isWide(each))) {
      for (const [name, start, stop] of test.spans) this.fill(context, name, start, stop, top, height);
    }
    for (const test of tests.filter((each) => TROUBLE.includes(each.status))) {
      this.fill(context, test.status, test.start, test.stop, top + height, 4);
    }
    context.restore();
  }

  paintWaiting(context, tests, top, height) {
    let last = null;
    for (const test of tests) {
      if (test.start > this.view[1]) break;
      if (last !== null && this.x(test.start) - this.x(last) >= 1) this.fill(context, "waiting", last, test.start, top, height);
      last = Math.max(last ?? test.stop, test.stop);
    }
  }

  isWide(test) {
    return this.x(test.stop) - this.x(test.start) >= 2;
  }

  // Tests that are too narrow to be told apart: each column shows from top to bottom how much of its time went where. One
  // over the other, the last part of each test would hide all others.
  paintNarrow(context, tests, top, height) {
    const columns = new Map();
    for (const test of tests) {
      for (const [name, start, stop] of test.spans) this.share(columns, name, this.x(start), this.x(stop));
    }
    for (const [column, shares] of columns) {
      const unit = height / Math.max(1, [...shares.values()].reduce((sum, share) => sum + share, 0));
      let at = top;
      for (const name of SHOWN) {
        context.fillStyle = this.colour(name);
        context.fillRect(column, at, 1, (shares.get(name) ?? 0) * unit);
        at += (shares.get(name) ?? 0) * unit;
      }
      context.fillStyle = this.colour("waiting");
      context.fillRect(column, at, 1, top + height - at);
    }
  }

  share(columns, name, left, right) {
    for (let column = Math.floor(left); column < right; column++) {
      if (!columns.has(column)) columns.set(column, new Map());
      const shares = columns.get(column);
      shares.set(name, (shares.get(name) ?? 0) + Math.min(right, column + 1) - Math.max(left, column));
    }
  }

  fill(context, name, start, stop, top, height) {
    const left = Math.max(this.x(start), GUTTER - 2);
    const right = Math.min(this.x(stop), this.width + 2);
    context.fillStyle = this.colour(name);
    const gap = right - left > 4 && name !== "waiting" ? 0.5 : 0;
    context.fillRect(left, top, Math.max(right - left - gap, 0.7), height);
  }

  paintChosen(context) {
    const index = this.model.lanes.findIndex((lane) => this.chosen && lane.name === this.chosen.place);
    if (index < 0 || this.chosen.start === null) return;
    const left = this.x(this.chosen.start);
    const width = Math.max(this.x(this.chosen.stop) - left, 3);
    if (left + width < GUTTER) return;
    context.strokeStyle = this.colour("text");
    context.lineWidth = 2;
    context.strokeRect(left - 1, AXIS + index * this.laneHeight - 1, width + 2, this.laneHeight - 4);
  }

  testAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const lane = this.model.lanes[Math.floor((event.clientY - box.top - AXIS) / this.laneHeight)];
    const time = this.timeAt(event);
    if (!lane || event.clientX - box.left < GUTTER) return null;
    const slack = ((this.view[1] - this.view[0]) * 3) / this.width;
    const near = lane.tests.filter((test) => test.start - slack <= time && time <= test.stop + slack);
    const distance = (test) => Math.max(test.start - time, time - test.stop, 0);
    return near.sort((a, b) => distance(a) - distance(b))[0] ?? null;
  }

  timeAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const part = (event.clientX - box.left - GUTTER) / (this.width - GUTTER);
    return this.view[0] + part * (this.view[1] - this.view[0]);
  }

  listen() {
    let drag = null;
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(event));
    }, { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, start: this.view[0], moved: false };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (drag && Math.abs(event.clientX - drag.x) > 3) drag.moved = true;
      if (drag?.moved) this.move(drag.start - ((event.clientX - drag.x) / (this.width - GUTTER)) * (this.view[1] - this.view[0]));
      this.point(drag?.moved ? null : this.testAt(event), event);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const test = drag && !drag.moved ? this.testAt(event) : null;
      drag = null;
      if (test) this.onChoose(test, true);
    });
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement);
  }

  point(test, event) {
    this.tooltip.hidden = !test;
    if (!test) return;
    const steps = lengths(test).map(([name, length]) => `${name} ${seconds(length)}`).join(" · ");
    this.tooltip.replaceChildren(make("strong", {}, test.nodeid), `${test.status} in ${seconds(test.duration)}`, make("br"), make("span", { class: "muted" }, steps));
    const widest = document.documentElement.clientWidth - this.tooltip.offsetWidth - 8;
    this.tooltip.style.left = `${Math.max(0, Math.min(event.clientX + 14, widest))}px`;
    this.tooltip.style.top = `${event.clientY + 16}px`;
  }

  press(event) {
    const keys = {
      "+": () => this.zoom(0.7), "=": () => this.zoom(0.7), "-": () => this.zoom(1 / 0.7), 0: () => this.showAll(),
      ArrowLeft: () => this.step(-1, 0), ArrowRight: () => this.step(1, 0), ArrowUp: () => this.step(0, -1), ArrowDown: () => this.step(0, 1),
      Enter: () => this.chosen && this.onChoose(this.chosen, true),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  step(along, across) {
    const { lanes } = this.model;
    if (!lanes.length) return;
    const at = Math.max(0, lanes.findIndex((lane) => this.chosen && lane.name === this.chosen.place));
    const lane = lanes[Math.min(Math.max(at + across, 0), lanes.length - 1)];
    const time = this.chosen?.start ?? this.view[0];
    let index = across || !this.chosen ? lane.tests.findIndex((test) => test.stop >= time) : lane.tests.indexOf(this.chosen) + along;
    if (index < 0 && across) index = lane.tests.length - 1;
    this.onChoose(lane.tests[Math.min(Math.max(index, 0), lane.tests.length - 1)], false);
  }
}

function tick(time, step) {
  if (step < 1e-3) return `${(time * 1e3).toFixed(step < 1e-4 ? 2 : 1)} ms`;
  if (step < 0.1) return `${(time * 1e3).toFixed(0)} ms`;
  if (step < 1) return `${time.toFixed(1)} s`;
  return time < 60 ? `${Math.round(time)} s` : seconds(time);
}
