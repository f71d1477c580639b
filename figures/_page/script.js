// Search and filters of the cards and figures, and a full-page view of one figure.
const bar = document.querySelector(".bar form");
const entries = [...document.querySelectorAll("[data-words]")];
const figures = entries.filter((e) => e.tagName === "ARTICLE");

function show() {
  const words = bar.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of entries) {
    const data = entry.dataset;
    entry.hidden = !(
      words.every((word) => data.words.includes(word)) &&
      (!bar.section.value || data.section === bar.section.value) &&
      (!bar.verdict.value || data.verdict === bar.verdict.value)
    );
  }
  for (const group of document.querySelectorAll(".contents section")) {
    group.hidden = !group.querySelector(".card:not([hidden])");
  }
  bar.count.value = `${figures.filter((f) => !f.hidden).length} of ${figures.length}`;
}
bar.addEventListener("input", show);
bar.addEventListener("submit", (event) => event.preventDefault());
show();

const view = document.querySelector("dialog");
const picture = view.querySelector("img");
let current = 0;

function open(number) {
  const shown = figures.filter((f) => !f.hidden);
  current = (number + shown.length) % shown.length;
  const image = shown[current].querySelector("img");
  picture.src = image.getAttribute("src");
  picture.alt = image.alt;
  view.querySelector("output").value = shown[current].querySelector("h3").textContent;
  if (!view.open) view.showModal();
}
for (const button of document.querySelectorAll(".picture")) {
  button.addEventListener("click", () => {
    open(figures.filter((f) => !f.hidden).indexOf(button.closest("article")));
  });
}
view.querySelector("[name=previous]").addEventListener("click", () => open(current - 1));
view.querySelector("[name=next]").addEventListener("click", () => open(current + 1));
view.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") open(current - 1);
  if (event.key === "ArrowRight") open(current + 1);
});
