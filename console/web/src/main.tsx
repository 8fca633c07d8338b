import '@fontsource-variable/inter/wght.css';
import './theme.css';
import '@digdir/designsystemet-css';
import './console.css';

import { createRoot } from 'react-dom/client';

import { App } from './App';
import { begin } from './session/session';

createRoot(document.getElementById('console')!).render(<App />);
void begin();
