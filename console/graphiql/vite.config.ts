import { defineConfig } from 'vite';

const service = 'http://localhost:8000';

// Where the files end up (--outDir) is decided by console/build.py, which calls this build.
export default defineConfig({
  base: '/graphiql/',
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // Monaco is one large chunk whatever we do.
    chunkSizeWarningLimit: 5000,
    // Some libraries mark their modules "use client", which only server-side rendering would heed.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  // `npm run dev --workspace graphiql` serves the page against a service that runs beside it.
  server: { proxy: { '/graphql': { target: service, ws: true } } },
});
