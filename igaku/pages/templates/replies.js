(() => {
  const form = document.querySelector("form.filter");
  const count = form.querySelector("output");
  const items = [...document.querySelectorAll("article.question")].map((node) => ({
    node, section: node.dataset.section, grades: node.dataset.grades,
    outcomes: node.dataset.outcomes.split(" "), doubts: node.dataset.doubts, text: null,
  }));
  const runs = [...Array(items[0].grades.length).keys()];
  const folded = (words) => words.normalize("NFKC").toLowerCase();
  const chosen = (name) => form.elements[name].value;

  const came = (item, run, outcome) => outcome === "right" ? item.grades[run] === "1"
    : outcome === "wrong" ? item.grades[run] === "0" : item.outcomes[run] === outcome;
  const parts = (item, run, other) => item.grades[run] !== item.grades[other]
    && item.grades[run] !== "-" && item.grades[other] !== "-";
  const has = (item, words) => {
    item.text ??= folded(item.node.textContent);
    return words.every((word) => item.text.includes(word));
  };

  function shown(item, of, words) {
    const [outcome, other, section] = ["outcome", "other", "section"].map(chosen);
    return (!section || item.section === section)
      && (!form.elements.doubtful.checked || of.some((i) => item.doubts[i] === "1"))
      && of.some((i) => (!outcome || came(item, i, outcome))
        && (!other || parts(item, i, other)))
      && has(item, words);
  }

  // The replies that are asked for stand open: those of the runs that are chosen.
  function unfold(item) {
    const wanted = [chosen("run"), chosen("other")].filter(Boolean).map((i) => +i + 1);
    for (const fold of item.node.querySelectorAll("details"))
      fold.open = wanted.includes(+fold.querySelector("i").textContent);
  }

  function filter(event) {
    const words = folded(chosen("words")).split(/\s+/).filter(Boolean);
    const of = chosen("run") ? [+chosen("run")] : runs;
    let n = 0;
    for (const item of items) {
      const is = shown(item, of, words);
      item.node.hidden = !is;
      n += is;
      if (is && event?.target.tagName === "SELECT") unfold(item);
    }
    count.value = n;
  }

  function reach() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.hidden) { form.reset(); filter(); }
    target?.scrollIntoView();
  }

  function current(visible) {
    const at = visible.indexOf(document.activeElement?.closest("article"));
    return at >= 0 ? at
      : visible.findIndex((node) => node.getBoundingClientRect().bottom > 80);
  }

  function go(by) {
    const visible = items.map((item) => item.node).filter((node) => !node.hidden);
    const active = document.activeElement?.closest("article");
    const next = visible[active && !active.hidden ? current(visible) + by
      : current(visible) + Math.min(by, 0)];
    if (!next) return;
    next.scrollIntoView();
    next.querySelector("h3 a").focus({ preventScroll: true });
  }

  function fold() {
    const visible = items.map((item) => item.node).filter((node) => !node.hidden);
    const folds = [...(visible[current(visible)]?.querySelectorAll("details") ?? [])];
    const open = folds.some((each) => !each.open);
    for (const each of folds) each.open = open;
  }

  const keys = { j: () => go(1), k: () => go(-1), o: fold,
    "/": () => form.elements.words.focus() };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.activeElement.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing
      || event.target.closest("input, select")) return;
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  let waiting;
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, event.target.name === "words" ? 150 : 0, event);
  });
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", reach);
  form.hidden = document.querySelector(".keys").hidden = false;
})();
