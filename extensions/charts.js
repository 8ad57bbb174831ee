// Draw every chart of the page: <figure class="vega-chart"> with its Vega-Lite
// specification in a <script type="application/json"> child.
(async () => {
  const specifications = '.vega-chart > script[type="application/json"]';
  for (const specification of document.querySelectorAll(specifications)) {
    const view = document.createElement("div");
    specification.before(view);
    await vegaEmbed(view, JSON.parse(specification.textContent), { renderer: "svg", actions: false });
    // Show it before the next one is made.
    await new Promise((drawn) => setTimeout(drawn));
  }
})();

// Charts measure their room when the window changes. It also changes once a sidebar has moved.
{
  const article = document.querySelector("article");
  let width = article.offsetWidth;
  let waiting;
  const measureAgain = () => window.dispatchEvent(new Event("resize"));
  new ResizeObserver(() => {
    if (article.offsetWidth === width) return;
    width = article.offsetWidth;
    clearTimeout(waiting);
    waiting = setTimeout(measureAgain, 150);
  }).observe(article);
}
