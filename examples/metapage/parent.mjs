// A metapage with two frames of an Asman hub: values go into the first frame, the files that its job makes go into the
// second, and the files of the second come back here. Both run by themselves (autostart) when their first values come.
import { setHashParamValueBooleanInUrl, setHashParamValueInUrl, setHashParamValueJsonInUrl } from "@metapages/hash-query";

const settings = await (await fetch("/settings.json")).json();

/** The address of a frame, written by the packages that any page uses. */
function frameUrl(script, more = {}) {
  const job = { command: "sh -c 'sh $JOB_INPUTS/run.sh'", ...(settings.image ? { image: settings.image } : {}) };
  let url = `${settings.hub}/`;
  url = setHashParamValueJsonInUrl(url, "job", job).toString();
  url = setHashParamValueJsonInUrl(url, "inputs", { "run.sh": script }).toString();
  url = setHashParamValueInUrl(url, "queue", settings.queue).toString();
  for (const [name, value] of Object.entries({ autostart: true, ...more })) {
    url = setHashParamValueBooleanInUrl(url, name, value).toString();
  }
  return url;
}

// Each script fails, and the frame says so, when a file that it names was not piped in. With `resolverefs` a frame pipes
// out whole files; without it, it pipes references to files that the hub keeps, which are short however large the files.
const urls = {
  first: frameUrl(
    `set -e
cd "$JOB_INPUTS"
cat number text.txt table.json flag > "$JOB_OUTPUTS/values.txt"
mkdir -p "$JOB_OUTPUTS/data"
cp doubles.f64 "$JOB_OUTPUTS/data/doubles.f64"
cp upload.bin "$JOB_OUTPUTS/data/upload.bin"
cp drawing.png "$JOB_OUTPUTS/drawing.png"
`,
    { resolverefs: true },
  ),
  second: frameUrl(
    `set -e
cd "$JOB_INPUTS"
cp values.txt renamed/numbers.bin kept/data/upload.bin picture.png "$JOB_OUTPUTS/"
`,
    { resolverefs: true },
  ),
};

const definition = {
  version: "2",
  metaframes: {
    first: { url: urls.first },
    second: {
      url: urls.second,
      // A pipe passes on the outputs whose names match `source`, under the same name, another one, or in a folder.
      inputs: [
        { metaframe: "first", source: "values.txt" },
        { metaframe: "first", source: "drawing.png", target: "picture.png" },
        { metaframe: "first", source: "data/doubles.f64", target: "renamed/numbers.bin" },
        { metaframe: "first", source: "data/upload.bin", target: "kept/" },
      ],
    },
  },
};

// The first frame loads before the code of its parent does, as in a page that a server made. It asks until it is heard.
const frames = document.querySelector("#frames");
const early = document.createElement("iframe");
early.name = "first";
early.src = urls.first;
await new Promise((loaded) => {
  early.addEventListener("load", loaded);
  frames.append(early);
});

const { Metapage, possiblyDeserializeDatarefToFile } = await import("@metapages/metapage");
const metapage = new Metapage();
await metapage.setDefinition(definition);
metapage.getMetaframe("first")._iframe = early; // the library has no other way to take a frame that is there
frames.append(await metapage.getMetaframe("second").iframe); // this one loads after its parent

/** Bytes in the form that the library pipes. Its own conversion ends in "Maximum call stack size exceeded" at 300 kB. */
function dataUrl(marks, bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return `data:${marks};base64,${btoa(binary)}`;
}

/** A small picture, which the library converts itself. */
async function drawing() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 80 });
  const context = canvas.getContext("2d");
  for (let x = 0; x < 160; x += 10) {
    context.fillStyle = `hsl(${x * 2} 80% 50%)`;
    context.fillRect(x, 40 - 40 * Math.sin(x / 25), 8, 80);
  }
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

const doubles = Float64Array.from({ length: 37_500 }, (_, index) => Math.sqrt(index)); // 300 kB
const upload = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7919) >> 3);
const picture = await drawing();
metapage.setInputs({
  first: {
    number: 42.5,
    flag: true,
    "text.txt": "größe\n",
    "table.json": { rows: [1, 2], name: "ä" },
    "doubles.f64": dataUrl("application/octet-stream;type=Float64Array", new Uint8Array(doubles.buffer)),
    "upload.bin": dataUrl("application/octet-stream;file=true;name=upload.bin;lastModified=0", upload),
    "drawing.png": picture,
  },
});

const table = document.querySelector("#outputs");
metapage.onOutputs(async ({ second }) => {
  for (const [name, value] of Object.entries(second ?? {})) {
    const file = value === undefined ? undefined : await possiblyDeserializeDatarefToFile(value);
    table.querySelector(`[data-name="${CSS.escape(name)}"]`)?.remove();
    if (file !== undefined) table.append(await row(name, file));
  }
});

async function row(name, file) {
  const made = document.createElement("tr");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  made.dataset.name = name;
  for (const text of [name, file.size, sha256]) made.insertCell().textContent = String(text);
  const shown = made.insertCell();
  if (name.endsWith(".png")) shown.append(Object.assign(new Image(), { src: URL.createObjectURL(file), alt: name }));
  return made;
}

// For the console, and for the test of this page.
const drawn = dataUrl("image/png", new Uint8Array(await picture.arrayBuffer()));
Object.assign(window, { metapage, drawn });
