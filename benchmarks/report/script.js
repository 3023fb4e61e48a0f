"use strict";
// The page is whole without this: it names the mark in focus and shows one figure at a time.
for (const figure of document.querySelectorAll("figure, .step")) {
  const tip = figure.querySelector(".tip");
  const marks = [...figure.querySelectorAll("a.mark")];
  const enter = (mark) => {
    for (const each of marks) each.tabIndex = each === mark ? 0 : -1; // one stop for the tab key
    if (tip) tip.textContent = mark.getAttribute("aria-label");
  };
  marks.forEach((mark, number) => {
    mark.tabIndex = number ? -1 : 0;
    mark.addEventListener("focus", () => enter(mark));
    mark.addEventListener("pointerenter", () => tip && (tip.textContent = mark.getAttribute("aria-label")));
    mark.addEventListener("click", (event) => {
      if (event.pointerType !== "touch" || !tip || mark.dataset.told) return;
      event.preventDefault(); // the first tap says the name, the second follows the link
      for (const each of marks) delete each.dataset.told;
      mark.dataset.told = "yes";
      enter(mark);
    });
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      marks[(number + step + marks.length) % marks.length].focus();
    });
  });
}
for (const select of document.querySelectorAll("select.choice")) {
  const show = () => {
    for (const option of select.options)
      document.getElementById(option.value).hidden = !option.selected;
  };
  select.addEventListener("change", show);
  select.parentElement.hidden = false;
  show();
}
