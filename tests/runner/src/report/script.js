// Filters of the console log. Without JavaScript the whole log is shown.
(() => {
  const text = document.getElementById("filter-text");
  const marks = document.getElementById("filter-marks");
  const count = document.getElementById("filter-count");
  const consoles = [...document.querySelectorAll("[data-console]")];
  const lines = [...document.querySelectorAll(".log li")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
  }));

  function apply() {
    const wanted = text.value.toLowerCase();
    const shown = new Set(consoles.filter((box) => box.checked).map((box) => box.dataset.console));
    let visible = 0;
    for (const line of lines) {
      const classes = line.element.classList;
      const keep =
        [...shown].some((name) => classes.contains(name)) &&
        (!marks.checked || classes.contains("mark")) &&
        line.text.includes(wanted);
      line.element.hidden = !keep;
      visible += keep ? 1 : 0;
    }
    count.textContent = visible === lines.length ? "" : `${visible} of ${lines.length} lines`;
  }

  document.querySelector(".filter").addEventListener("input", apply);
  document.querySelector(".filter").addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
