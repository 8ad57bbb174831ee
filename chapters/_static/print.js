// Paper is white: print in light colours, whatever the screen shows.
const page = document.documentElement;
let onScreen;
window.addEventListener("beforeprint", () => {
  onScreen = page.dataset.theme;
  page.dataset.theme = "light";
});
window.addEventListener("afterprint", () => {
  page.dataset.theme = onScreen;
});
