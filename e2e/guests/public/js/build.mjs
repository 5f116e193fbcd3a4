// Makes a component of hello.js: build.mjs OUT.wasm
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { componentize } from "@bytecodealliance/componentize-js";

// The engine speaks WASI 0.2.10; jco brings the interfaces of a later 0.2. (preview2-shim in package.json is for
// componentize-js, which uses it and does not say so.)
const ENGINE = "0.2.10";
const LATER = "0.2.12";
const builtin = `node_modules/@bytecodealliance/jco/lib/wit/builtin/${LATER}`;

await rm("wit", { recursive: true, force: true });
await mkdir("wit");
await cp("hello.wit", "wit/hello.wit");
for (const name of await readdir(builtin)) {
  const text = await readFile(join(builtin, name, "package.wit"), "utf8");
  await mkdir(join("wit/deps", name), { recursive: true });
  await writeFile(join("wit/deps", name, "package.wit"), text.replaceAll(LATER, ENGINE));
}
const { component } = await componentize({ sourcePath: "hello.js", witPath: "wit", worldName: "hello" });
await writeFile(process.argv[2], component);
