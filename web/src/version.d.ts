/** The version of Asman, put in by the build (`version.ts` beside `vite.config.ts`). */
declare const __ASMAN_VERSION__: string;
