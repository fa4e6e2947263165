/** Saves many files as one archive, streamed to the disk where the browser allows it. */

import { downloadZip } from "client-zip";
import { saveBlob } from "../files/download";

export interface ZipEntry {
  path: string;
  href: string;
  /** In bytes, if known. */
  size: number | undefined;
  /** The media type to ask for, where the address has several. */
  accept?: string;
}

interface SaveTo {
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<{ createWritable: () => Promise<WritableStream<Uint8Array>> }>;
}

/**
 * Saves files as one archive.
 *
 * @param onProgress Receives the number of bytes written so far.
 * @throws {Error} A file could not be fetched; the message is a sentence for a person. No complete-looking archive is
 *   left behind.
 */
export async function saveZip(name: string, files: readonly ZipEntry[], onProgress: (bytes: number) => void): Promise<void> {
  const picker = (window as SaveTo).showSaveFilePicker;
  const embedded = window.self !== window.top;
  const target = picker === undefined || embedded ? null : await picker.call(window, { suggestedName: name });
  let bytes = 0;
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, out) {
      bytes += chunk.length;
      onProgress(bytes);
      out.enqueue(chunk);
    },
  });
  const archive = downloadZip(each(files)).body?.pipeThrough(counted);
  if (archive === undefined) throw new Error("This browser can't write archives. Download the files one by one.");
  if (target !== null) await archive.pipeTo(await target.createWritable());
  else saveBlob(name, await new Response(archive, { headers: { "Content-Type": "application/zip" } }).blob());
}

/** Fetches the files one after another, each when the archive reaches it. */
async function* each(files: readonly ZipEntry[]) {
  for (const { path, href, size, accept } of files) {
    const input = await fetch(href, accept === undefined ? {} : { headers: { Accept: accept } });
    if (!input.ok) throw new Error(`${path} could not be fetched (HTTP status ${input.status}), so no archive was written. Try again.`);
    yield size === undefined ? { name: path, input } : { name: path, input, size };
  }
}
