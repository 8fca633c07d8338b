import { defineConfig } from 'vite';

const service = 'http://localhost:8000';

// Where the files end up (--outDir) is decided by console/build.py, which calls this build.
export default defineConfig({
  base: '/web/',
  build: {
    target: 'es2022',
    // A data: address would need a place of its own in the Content-Security-Policy.
    assetsInlineLimit: 0,
    // Some libraries mark their modules "use client", which only server-side rendering would heed.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  // `npm run dev --workspace web` serves the console against a service that runs beside it.
  server: { proxy: { '/graphql': { target: service, ws: true }, '/sign-in': service } },
});
