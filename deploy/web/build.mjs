// Compile, name every file by its content, compress it, and write the list the pages are rendered with.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { compile } from "sass";

const FIRST_VIEW = 50 * 1024; // bytes, compressed: all that a first page needs beside itself
const target = new URL("../../broker/web/static/", import.meta.url);
const axe = new URL("../../tests/support/axe/", import.meta.url);
const packages = new URL("node_modules/", import.meta.url);

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
mkdirSync(axe, { recursive: true });

const manifest = {};
let total = 0;

function keep(name, content) {
  const [stem, extension] = [name.slice(0, name.lastIndexOf(".")), name.slice(name.lastIndexOf(".") + 1)];
  const hashed = `${stem}.${createHash("sha256").update(content).digest("hex").slice(0, 12)}.${extension}`;
  const bytes = Buffer.from(content);
  const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  const gzip = gzipSync(bytes, { level: 9 });
  writeFileSync(new URL(hashed, target), bytes);
  writeFileSync(new URL(`${hashed}.br`, target), brotli);
  writeFileSync(new URL(`${hashed}.gz`, target), gzip);
  manifest[name] = hashed;
  total += gzip.length; // the larger of the two
  return hashed;
}

const { css } = compile(new URL("src/unwaith.scss", import.meta.url).pathname, {
  style: "compressed",
  loadPaths: [packages.pathname],
  quietDeps: true,
});
if (/@font-face|GDS Transport|url\(/.test(css.replace(/url\("?data:[^)]*\)/g, ""))) {
  throw new Error("the stylesheet holds what belongs to GOV.UK");
}
keep("unwaith.css", css);

const frontend = readFileSync(new URL("govuk-frontend/dist/govuk/govuk-frontend.min.js", packages), "utf8");
const script = keep("govuk-frontend.js", frontend.replace(/\n?\/\/# sourceMappingURL=.*\s*$/, "\n"));
const own = readFileSync(new URL("src/unwaith.js", import.meta.url), "utf8");
keep("unwaith.js", own.replace("./govuk-frontend.js", `./${script}`));
keep("icon.svg", readFileSync(new URL("src/icon.svg", import.meta.url)));

if (total > FIRST_VIEW) {
  throw new Error(`${total} bytes compressed are more than the ${FIRST_VIEW} a first view may take`);
}
writeFileSync(new URL("manifest.json", target), `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync(new URL("src/GOVUK-FRONTEND-LICENCE.txt", import.meta.url), new URL("GOVUK-FRONTEND-LICENCE.txt", target));
copyFileSync(new URL("axe-core/axe.min.js", packages), new URL("axe.min.js", axe));
copyFileSync(new URL("axe-core/LICENSE", packages), new URL("LICENSE", axe));
console.log(`${Object.keys(manifest).length} files, ${total} bytes compressed`);
