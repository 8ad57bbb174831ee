// Runs between require.js and the widget manager: say where files lie, and keep the peace.
const folder = new URL(".", document.currentScript.src).href.replace(/\/$/, "");
require.config({
  paths: {
    anywidget: `${folder}/anywidget`,
    // The widget manager looks for its fonts where its modules would be.
    "@jupyter-widgets": folder,
    "@jupyter-widgets/html-manager/dist": folder,
  },
});

window.addEventListener("load", () => {
  // ipywidgets looks for MathJax 2, the page has MathJax 3 or none.
  if (window.MathJax) window.MathJax.Hub ??= { Queue() {} };
  // The theme turns icons into drawings; ipywidgets wants its own back, to change play to pause.
  window.FontAwesome?.noAuto();
});
