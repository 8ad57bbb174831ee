// Runs between require.js and the widget manager: say where the scripts lie, and keep the peace.
const folder = new URL(".", document.currentScript.src).href;
require.config({ paths: { anywidget: folder + "anywidget" } });

// ipywidgets looks for MathJax 2, the page has MathJax 3 or none.
document.addEventListener("DOMContentLoaded", () => {
  if (window.MathJax) window.MathJax.Hub ??= { Queue() {} };
});
