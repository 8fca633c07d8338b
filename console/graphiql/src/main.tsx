import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './page.css';

import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';

import { fetcher } from './fetcher';
import { reloadOnNewCode, tokenOfLink } from './link';
import { queries } from './queries';
import { storageWithoutHeaders } from './storage';

const noToken = '// {"Authorization": "Bearer …"}\n// "./run token" prints one.\n';

reloadOnNewCode();
const token = await tokenOfLink().catch(() => null);

createRoot(document.getElementById('graphiql')!).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storageWithoutHeaders}
    defaultTabs={queries.map((query) => ({ query }))}
    // Not the initial headers: those would stay with the first tab.
    defaultHeaders={token ? JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2) : noToken}
    defaultEditorToolsVisibility="headers"
    shouldPersistHeaders={false}
    showPersistHeadersSettings={false}
  />,
);
