// Draws formulas while the book is built: one line of JSON comes in, one goes out.
const readline = require("node:readline");

async function main() {
  const MathJax = await require("mathjax").init({
    loader: { load: ["input/tex-full", "output/svg", "a11y/assistive-mml"] },
    // Every formula holds its own glyphs: the ids of shared ones would have to be told apart.
    svg: { fontCache: "none" },
    // An unknown command fails the build; in a page it would be red.
    tex: { packages: { "[-]": ["noundefined"] } },
    startup: { typeset: false },
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { tex, display } = JSON.parse(line);
    const drawn = MathJax.tex2svg(tex, { display });
    console.log(JSON.stringify(MathJax.startup.adaptor.outerHTML(drawn)));
  }
}

main();
