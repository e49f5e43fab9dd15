"use strict";
(() => {
  const minus = (text) => text.replace("-", "−");
  const number = (value, digits) =>
    value === null ? "–" : minus(value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const place = (value, unit) => {
    if (unit === "steps") return `${number(Math.round(value), 0)} steps`;
    if (unit !== "s") return `at ${number(value, 3)}`;
    return value < 100 ? `${number(value, 1)} s` : value < 6000 ? `${number(value / 60, 1)} min` : `${number(value / 3600, 2)} h`;
  };
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  /* Charts: a crosshair with every method's value, its interval and its seeds. */
  for (const chart of document.querySelectorAll("figure.chart")) {
    const told = JSON.parse(chart.querySelector("script").textContent);
    const plot = chart.querySelector(".plot"), svg = plot.querySelector("svg");
    const tip = plot.querySelector(".tip"), cross = svg.querySelector(".cross");
    const [left, right] = told.box, [low, high] = told.x;
    const grid = [...new Set(told.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    let at = grid.length - 1;

    const index = (line, x) => {
      let best = 0;
      for (let k = 0; k < line.x.length; k++) {
        if (told.stairs ? line.x[k] <= x : Math.abs(line.x[k] - x) < Math.abs(line.x[best] - x)) best = k;
      }
      return best;
    };
    const show = (x) => {
      const across = left + ((x - low) / (high - low)) * (right - left);
      cross.setAttribute("x1", across);
      cross.setAttribute("x2", across);
      cross.removeAttribute("hidden");
      tip.replaceChildren(element("b", place(x, told.unit)));
      const lines = told.lines.filter((line) => x >= line.x[0] - 1e-9 && x <= line.x[line.x.length - 1] + 1e-9);
      lines.sort((a, b) => b.point[index(b, x)] - a.point[index(a, x)]);
      for (const line of lines.slice(0, 8)) {
        const k = index(line, x), row = element("div", undefined, `of ${line.look}`);
        const ends = line.low[k] === null ? "" : ` [${number(line.low[k], told.digits)}, ${number(line.high[k], told.digits)}]`;
        row.append(element("i"), element("span", line.name), element("span", number(line.point[k], told.digits) + ends));
        const seeds = Object.entries(line.seeds);
        const each = seeds.slice(0, 10).map(([seed, values]) => `${seed}: ${number(values[k], told.digits)}`).join(", ");
        const more = seeds.length > 10 ? ` and ${seeds.length - 10} more` : "";
        row.append(element("span", seeds.length ? `seed ${each}${more}` : `${line.runs} seeds`, "seeds"));
        tip.append(row);
      }
      tip.hidden = false;
      const wide = plot.clientWidth, pixel = (across / told.size[0]) * wide;
      const own = tip.offsetWidth;
      const beside = pixel + 14 + own <= wide ? pixel + 14 : pixel - 14 - own >= 0 ? pixel - 14 - own : Math.max(0, (wide - own) / 2);
      tip.style.left = `${beside}px`;
    };
    const hide = () => {
      tip.hidden = true;
      cross.setAttribute("hidden", "");
    };
    const nearest = (event) => {
      const frame = svg.getBoundingClientRect();
      const across = ((event.clientX - frame.left) / frame.width) * told.size[0];
      const x = low + ((across - left) / (right - left)) * (high - low);
      let best = 0;
      for (let k = 0; k < grid.length; k++) if (Math.abs(grid[k] - x) < Math.abs(grid[best] - x)) best = k;
      at = best;
      show(grid[at]);
    };
    plot.addEventListener("pointermove", nearest);
    plot.addEventListener("pointerdown", nearest);
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) show(grid[at]); });
    plot.addEventListener("keydown", (event) => {
      const jump = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (event.key === "Escape") return hide();
      if (event.key === "Home") at = 0;
      else if (event.key === "End") at = grid.length - 1;
      else if (jump) at = Math.min(grid.length - 1, Math.max(0, at + jump));
      else return;
      event.preventDefault();
      show(grid[at]);
    });
  }

  /* Tables: sorted by the column whose heading is pressed. */
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const number = head.classList.contains("n");
        const before = head.getAttribute("aria-sort");
        const down = before ? before === "ascending" : number;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => {
          const cell = row.cells[column], told = cell.dataset.v;
          return told === undefined ? cell.textContent.trim() : Number(told);
        };
        const order = (a, b) => {
          const [x, y] = [value(a), value(b)];
          if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
          const found = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
          return down ? -found : found;
        };
        body.append(...[...body.rows].sort(order));
      });
    });
  }

  /* Commands are copied, where the browser lets a page do so. */
  if (navigator.clipboard) {
    for (const button of document.querySelectorAll(".copy")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
    }
  }

  /* What is folded away is printed, too. */
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
})();
