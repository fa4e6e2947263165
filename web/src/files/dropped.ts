/** Reads the files that a person dropped, pasted or picked, including whole folders. */

import type { Incoming } from "../state/job-files";

/** Most files that are read from dropped folders: one more than a job can have, so that the excess is noticed. */
const MOST = 10_001;

/** Reads the names and files of a drop. Must be called while the event is handled. */
export function droppedFiles(data: DataTransfer): Promise<Incoming[]> {
  const entries = [...data.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry());
  const plain = [...data.files].map((file) => ({ name: file.name || pastedName(file), blob: file }));
  if (entries.every((entry) => entry === null || !entry.isDirectory)) return Promise.resolve(plain);
  return collect(entries.filter((entry) => entry !== null));
}

async function collect(entries: readonly FileSystemEntry[]): Promise<Incoming[]> {
  const found: Incoming[] = [];
  const left = [...entries];
  for (let entry = left.shift(); entry !== undefined && found.length < MOST; entry = left.shift()) {
    if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      found.push({ name: entry.fullPath.replace(/^\//, ""), blob: file });
    } else {
      const reader = (entry as FileSystemDirectoryEntry).createReader();
      // `readEntries` returns a folder's entries in batches; an empty batch is the end.
      for (;;) {
        const piece = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
        if (piece.length === 0) break;
        left.push(...piece);
      }
    }
  }
  return found;
}

export function pickedFiles(list: FileList | null): Incoming[] {
  return [...(list ?? [])].map((file) => ({ name: file.webkitRelativePath || file.name, blob: file }));
}

function pastedName(file: File): string {
  return `pasted.${file.type.split("/").at(-1)?.replace(/\+.*/, "") || "bin"}`;
}
