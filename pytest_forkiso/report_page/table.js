// The list of tests: only the rows that can be seen are in the page.

const ROW = 32;
const SPARE = 8;
const COLUMNS = [
  { key: "index", name: "#", number: true, show: (test) => whole(test.index + 1) },
  { key: "status", name: "Outcome", rank: (test) => (STATUSES.indexOf(test.status) + 1 || 0.5), show: (test) => make("span", { class: "status" }, make("i", { class: "dot", colour: colourOf(test.status) }), test.status) },
  { key: "nodeid", name: "Test", show: testName },
  { key: "duration", name: "Time", number: true, show: (test) => seconds(test.duration) },
  { key: "cpu", name: "CPU", number: true, show: (test) => seconds(test.cpu) },
  { key: "peak_bytes", name: "Peak", number: true, show: (test) => bytes(test.peak_bytes) },
  { key: "private_bytes", name: "Private", number: true, show: (test) => bytes(test.private_bytes) },
  { key: "page_faults", name: "Faults", number: true, show: (test) => whole(test.page_faults) },
  { key: "leftovers", name: "Left", number: true, show: (test) => (test.leftovers ? whole(test.leftovers) : "") },
  { key: "exit", name: "Exit", show: (test) => make("span", test.signal === null ? {} : { class: "loud" }, test.exit) },
  { key: "place", name: "Job", show: (test) => test.place },
];

class Table {
  constructor(model, onChoose) {
    this.model = model;
    this.onChoose = onChoose;
    this.box = document.getElementById("table");
    this.head = document.getElementById("table-head");
    this.body = document.getElementById("table-body");
    this.statuses = new Set();
    this.query = "";
    this.order = { column: COLUMNS[0], falling: false };
    this.chosen = null;
    this.box.setAttribute("aria-colcount", COLUMNS.length);
    this.head.append(...COLUMNS.map((column) => this.makeHead(column)));
    this.box.addEventListener("scroll", () => this.paint());
    this.box.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.paint()).observe(this.box);
    this.refresh();
  }

  makeHead(column) {
    const button = make("button", { type: "button", onclick: () => this.sort(column) }, column.name);
    column.cell = make("span", { role: "columnheader", class: column.number ? "number" : "", "aria-sort": "none" }, button);
    return column.cell;
  }

  sort(column) {
    const falling = this.order.column === column ? !this.order.falling : Boolean(column.number) && column.key !== "index";
    this.order = { column, falling };
    this.refresh();
  }

  filter({ query = this.query, statuses = this.statuses }) {
    this.query = query;
    this.statuses = statuses;
    this.refresh();
  }

  refresh() {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (test) => (!this.statuses.size || this.statuses.has(test.status)) && words.every((word) => test.text.includes(word));
    this.rows = this.model.tests.filter(fits).sort(this.comparison());
    for (const column of COLUMNS) {
      const way = this.order.falling ? "descending" : "ascending";
      column.cell.setAttribute("aria-sort", column === this.order.column ? way : "none");
    }
    this.box.setAttribute("aria-rowcount", this.rows.length + 1);
    this.body.style.height = `${this.rows.length * ROW}px`;
    const all = this.model.tests.length;
    document.getElementById("count").textContent = this.rows.length === all ? `${whole(all)} tests` : `${whole(this.rows.length)} of ${whole(all)} tests`;
    this.box.scrollTop = 0;
    this.paint();
  }

  comparison() {
    const { column, falling } = this.order;
    const value = column.rank ?? ((test) => test[column.key]);
    const sign = falling ? -1 : 1;
    return (a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === right) return a.index - b.index;
      if (left === null || right === null) return left === null ? 1 : -1; // what was not measured comes last
      return sign * (typeof left === "string" ? left.localeCompare(right) : left - right);
    };
  }

  paint() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - SPARE);
    const last = Math.min(this.rows.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + SPARE);
    this.body.replaceChildren(...this.rows.slice(first, last).map((test, offset) => this.makeRow(test, first + offset)));
    const active = this.chosen && this.rows.indexOf(this.chosen);
    if (this.chosen && active >= first && active < last) this.box.setAttribute("aria-activedescendant", `row-${this.chosen.index}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  makeRow(test, position) {
    const cells = COLUMNS.map((column) => make("span", { role: "gridcell", class: column.number ? "number" : "" }, column.show(test)));
    const isChosen = test === this.chosen;
    const row = make("div", { class: "row", role: "row", id: `row-${test.index}`, "aria-rowindex": position + 2, "aria-selected": isChosen, onclick: () => this.onChoose(test, true) }, ...cells);
    row.style.top = `${position * ROW}px`;
    return row;
  }

  choose(test) {
    this.chosen = test;
    const position = this.rows.indexOf(test);
    if (position >= 0) {
      const top = position * ROW;
      const height = this.box.clientHeight - ROW - this.head.offsetHeight;
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      else if (top > this.box.scrollTop + height) this.box.scrollTop = top - height;
    }
    this.paint();
  }

  press(event) {
    if (event.target !== this.box || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.chosen ? this.rows.indexOf(this.chosen) : -1;
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 2);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.rows.length - 1 };
    if (event.key === "Enter" && at >= 0) this.onChoose(this.chosen, true);
    else if (event.key in moves && this.rows.length) this.onChoose(this.rows[Math.min(Math.max(moves[event.key], 0), this.rows.length - 1)], false);
    else return;
    event.preventDefault();
  }
}
