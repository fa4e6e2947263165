/** The files that a person dropped or pasted, folders with all that is in them. */

import type { Incoming } from "../state/job-files";

/** Files that are read out of dropped folders; more is more than a job may have. */
const MOST = 10_001;

/** The names and files of a drop; must be called while the event is handled. */
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
      // A folder is read in pieces until one is empty.
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
