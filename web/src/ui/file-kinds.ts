/** Kinds of files, by which the page chooses a preview. */

export type FileKind = "image" | "text" | "json" | "csv" | "markdown" | "html" | "audio" | "video" | "other";

const BY_END: Readonly<Record<string, FileKind>> = {
  json: "json",
  geojson: "json",
  ipynb: "json",
  csv: "csv",
  tsv: "csv",
  md: "markdown",
  markdown: "markdown",
  html: "html",
  htm: "html",
  pdf: "other",
  svg: "image",
};

const TEXTS = new Set(
  "txt log py js ts tsx jsx sh bash r jl c h cpp hpp rs go java rb pl sql xml yaml yml toml ini cfg conf fasta fa fastq vcf bed gff pdb sdf mol dot tex css dockerfile makefile".split(
    " ",
  ),
);

/** The kind of a file, by its name and its media type. */
export function kindOf(path: string, mediaType = ""): FileKind {
  const name = path.split("/").at(-1)?.toLowerCase() ?? "";
  const end = name.includes(".") ? (name.split(".").at(-1) ?? "") : name;
  const named = BY_END[end];
  if (named !== undefined) return named;
  const [family, detail = ""] = mediaType.split(";", 1)[0]?.split("/") ?? [];
  if (family === "image" || family === "audio" || family === "video") return family;
  if (detail === "json" || detail.endsWith("+json")) return "json";
  if (family === "text" || TEXTS.has(end)) return "text";
  return "other";
}
