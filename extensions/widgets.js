// Runs between require.js and the widget manager: say where files lie, and keep the peace.
const folder = new URL(".", document.currentScript.src).href.replace(/\/$/, "");
require.config({
  paths: {
    // The build puts the checksum of the file here.
    anywidget: `${folder}/anywidget.js?v=CHECKSUM`,
    // The widget manager looks for its fonts where its modules would be.
    "@jupyter-widgets": folder,
    "@jupyter-widgets/html-manager/dist": folder,
  },
});
