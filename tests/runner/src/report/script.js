// Filters of the lists: the console log and the trace. Without JavaScript all of each is shown.
(() => {
  for (const form of document.querySelectorAll("form[data-list]")) {
    const text = form.querySelector("[type=search]");
    const marks = form.querySelector("[data-marks]");
    const count = form.querySelector("output");
    const boxes = [...form.querySelectorAll("[data-class]")];
    const list = document.getElementById(form.dataset.list);
    const lines = [...list.querySelectorAll("li")].map((element) => ({
      element,
      text: element.textContent.toLowerCase(),
    }));

    function apply() {
      const wanted = text.value.toLowerCase();
      const shown = boxes.filter((box) => box.checked).map((box) => box.dataset.class);
      let visible = 0;
      for (const line of lines) {
        const classes = line.element.classList;
        const keep =
          shown.some((name) => classes.contains(name)) &&
          (!marks?.checked || classes.contains("mark")) &&
          line.text.includes(wanted);
        line.element.hidden = !keep;
        visible += keep ? 1 : 0;
      }
      count.textContent = visible === lines.length ? "" : `${visible} of ${lines.length}`;
    }

    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }
})();
