"use strict";

/* Charts are drawn when they come into view: a phone would otherwise draw all of them first. */
(() => {
  const touch = matchMedia("(pointer: coarse)").matches;
  const narrow = matchMedia("(max-width: 40rem)").matches;

  function draw(place) {
    if (place.dataset.drawn) return;
    place.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById("figure-" + place.dataset.figure).textContent);
    const layout = Object.assign({}, figure.layout, { autosize: true });
    delete layout.width;
    layout.font = Object.assign({ family: getComputedStyle(document.body).fontFamily }, layout.font);
    if (touch) { /* a finger on a chart scrolls the page */
      layout.dragmode = false;
      for (const name of Object.keys(layout)) {
        if (/^[xy]axis\d*$/.test(name)) layout[name] = Object.assign({}, layout[name], { fixedrange: true });
      }
    }
    const config = {
      responsive: true,
      displaylogo: false,
      displayModeBar: touch || narrow ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
      showSendToCloud: false,
      plotlyServerURL: "",
    };
    Plotly.newPlot(place, figure.data, layout, config);
  }

  const places = document.querySelectorAll(".chart");
  const seen = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: "400px 0px" },
  );
  places.forEach((place) => seen.observe(place));
  addEventListener("beforeprint", () => places.forEach(draw));
})();

/* Tables are sorted by a click on a heading, or by Enter on it: numbers by size, empty cells last. */
(() => {
  const words = new Intl.Collator(undefined, { numeric: true });

  function key(cell) {
    if (cell.dataset.rank !== undefined) return Number(cell.dataset.rank);
    return cell.textContent === "" ? null : cell.textContent;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return words.compare(String(a), String(b));
  }

  function sort(table, column, ascending) {
    const body = table.tBodies[0];
    const keyed = Array.from(body.rows, (row) => [key(row.cells[column]), row]);
    const sign = ascending ? 1 : -1;
    keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    body.append(...keyed.map(([, row]) => row));
    table.querySelectorAll("th").forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    mark(table);
  }

  function mark(table) {
    const shown = Number(table.dataset.shown);
    Array.from(table.tBodies[0].rows, (row, place) => row.classList.toggle("rest", place >= shown));
  }

  document.querySelectorAll("table.sortable").forEach((table) => {
    table.querySelectorAll("th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        sort(table, column, before === null ? head.dataset.highFirst === undefined : before === "descending");
      });
    });
    mark(table);
    const body = table.tBodies[0];
    const total = body.rows.length;
    if (total <= Number(table.dataset.shown)) return;
    body.classList.add("few");
    const all = document.createElement("button");
    all.type = "button";
    all.className = "all";
    const say = () => {
      all.textContent = body.classList.contains("few") ? "Show all " + total : "Show the first " + table.dataset.shown;
      all.setAttribute("aria-expanded", String(!body.classList.contains("few")));
    };
    all.addEventListener("click", () => {
      body.classList.toggle("few");
      say();
    });
    say();
    table.parentElement.after(all);
  });
})();
