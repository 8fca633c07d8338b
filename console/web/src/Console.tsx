import { SkipLink } from '@digdir/designsystemet-react';
import { useEffect, useRef, useState } from 'react';
import { Provider } from 'urql';
import { Route, Switch } from 'wouter';

import { openClient } from './api/client';
import { ViewerDocument } from './api/operations';
import { openConnection } from './live/connection';
import { useAnnouncement } from './live/announcements';
import { useMessages } from './messages';
import { Entry } from './pages/Entry';
import { Health } from './pages/Health';
import { Member } from './pages/Member';
import { Members } from './pages/Members';
import { NotFound } from './pages/NotFound';
import { Roles } from './pages/Roles';
import { SourceRun } from './pages/SourceRun';
import { Sources } from './pages/Sources';
import { SyncLog } from './pages/SyncLog';
import { refused } from './session/session';
import type { Credentials } from './session/ways';
import { ConnectionContext, LostConnection } from './shell/ConnectionState';
import { Header } from './shell/Header';
import { HealthBanner } from './shell/HealthBanner';
import { useReadingPlace } from './shell/reading';
import { managesSources, readsLog, useViewer, ViewerProvider } from './session/viewer';
import { Forbidden } from './ui/Failure';

/** Everything behind the sign-in, with a cache and a socket of its own for whoever is signed in. */
export function Console({ credentials }: { credentials: Credentials }) {
  const [api] = useState(() => {
    const connection = openConnection(
      credentials.token,
      () => void client.query(ViewerDocument, {}, { requestPolicy: 'network-only' }).toPromise(),
    );
    const client = openClient(credentials.token, connection, refused);
    return { connection, client };
  });
  useEffect(() => () => api.connection.close(), [api]);

  return (
    <Provider value={api.client}>
      <ConnectionContext value={api.connection}>
        <ViewerProvider>
          <Page />
        </ViewerProvider>
      </ConnectionContext>
    </Provider>
  );
}

function Page() {
  const text = useMessages();
  const viewer = useViewer();
  const said = useAnnouncement(text.announce.fold);
  const main = useRef<HTMLElement>(null);

  useEffect(beginAtTheTop, []);
  useReadingPlace(main);

  return (
    <>
      <SkipLink href="#main">{text.skipToContent}</SkipLink>
      <Header />
      <LostConnection />
      {readsLog(viewer) && <HealthBanner />}
      <main id="main" tabIndex={-1} ref={main}>
        <Switch>
          <Route path="/">
            <Members />
          </Route>
          <Route path="/medlemmer">
            <Members />
          </Route>
          <Route path="/medlemmer/:id">{({ id }) => <Member key={id} id={id} />}</Route>
          {!readsLog(viewer) && <Route path={/^\/(?<page>logg|driftsstatus)(?:\/|$)/} component={Forbidden} />}
          {!managesSources(viewer) && <Route path={/^\/(?<page>kilder)(?:\/|$)/} component={Forbidden} />}
          <Route path="/logg">
            <SyncLog />
          </Route>
          <Route path="/logg/:id">{({ id }) => <Entry key={id} id={id} />}</Route>
          <Route path="/driftsstatus">
            <Health />
          </Route>
          <Route path="/kilder">
            <Sources />
          </Route>
          <Route path="/kilder/:id">{({ id }) => <SourceRun key={id} id={id} />}</Route>
          <Route path="/roller">
            <Roles />
          </Route>
          <Route>
            <NotFound />
          </Route>
        </Switch>
      </main>
      <div className="ds-sr-only" aria-live="polite" data-testid="said">
        {said}
      </div>
    </>
  );
}

/** Makes the first Tab go to the first link, though what was on the page before has been replaced. */
function beginAtTheTop(): void {
  document.body.tabIndex = -1;
  document.body.focus({ preventScroll: true });
  document.body.blur();
  document.body.removeAttribute('tabindex');
}
