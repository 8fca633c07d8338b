import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './page.css';

import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';

import { fetcher } from './fetcher';
import { queries } from './queries';
import { storageWithoutHeaders } from './storage';
import { reloadOnNewToken, takeTokenFromAddress } from './token';

const noToken = '// {"Authorization": "Bearer …"}\n// "./run token" prints one.\n';

const token = takeTokenFromAddress();
reloadOnNewToken();

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
