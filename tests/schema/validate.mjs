// Validates YAML files against a JSON Schema: node validate.mjs MODULES SCHEMA good|bad FILE…
// good: every file must pass. bad: every document of the file must fail. MODULES holds node_modules.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [modules, schemaFile, wanted, ...files] = process.argv.slice(2);
const require = createRequire(modules + "/");
const Ajv = require("ajv/dist/2020").default;
const YAML = require("yaml");

const validate = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true, strictRequired: false })
  .compile(JSON.parse(readFileSync(schemaFile, "utf8")));

let wrong = 0;
let seen = 0;
for (const file of files) {
  for (const document of YAML.parseAllDocuments(readFileSync(file, "utf8"), { version: "1.2" })) {
    seen += 1;
    const passes = validate(document.toJS());
    if (passes === (wanted === "good")) continue;
    wrong += 1;
    console.log(`${file}: document ${seen} ${passes ? "passes" : "fails"}`);
    for (const error of validate.errors ?? []) console.log(`  ${error.instancePath} ${error.message}`);
  }
}
console.log(`${seen} documents, ${wrong} wrong`);
process.exit(wrong === 0 && seen > 0 ? 0 : 1);
