/** Media types by the ends of names, for files of which a result tells the name alone; the hub sends them by their names, too. */

const BY_END: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  avif: "image/avif",
  bmp: "image/bmp",
  svg: "image/svg+xml",
  mp3: "audio/mpeg",
  wav: "audio/wav",
  ogg: "audio/ogg",
  flac: "audio/flac",
  mp4: "video/mp4",
  webm: "video/webm",
  txt: "text/plain",
  csv: "text/csv",
  md: "text/markdown",
  html: "text/html",
  json: "application/json",
  pdf: "application/pdf",
  zip: "application/zip",
  gz: "application/gzip",
};

/** The media type of a file, or nothing if its name does not tell it. */
export function mediaTypeOf(path: string): { media_type?: string } {
  const end = /\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
  const found = Object.hasOwn(BY_END, end) ? BY_END[end] : undefined;
  return found === undefined ? {} : { media_type: found };
}
