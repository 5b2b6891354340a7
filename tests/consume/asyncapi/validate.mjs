import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";
const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(process.argv[2], "utf8"));
console.log(JSON.stringify({ valid: document !== undefined, diagnostics: diagnostics.map(({ severity, message, path }) => ({ severity, message, path: path.join(".") })) }, null, 1));
