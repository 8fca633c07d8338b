import { Alert, Button } from '@digdir/designsystemet-react';
import { createContext, useContext, useEffect, useRef } from 'react';

import { announce } from '../live/announcements';
import type { Connection, Link } from '../live/connection';
import { useMessages } from '../messages';
import { useStore } from '../store';

export const ConnectionContext = createContext<Connection | null>(null);

export function useConnection(): Connection {
  const connection = useContext(ConnectionContext);
  if (connection === null) throw new Error('There is no connection outside the signed-in part of the console.');
  return connection;
}

/** Always visible: whether what is shown is true at this moment. */
export function ConnectionState() {
  const text = useMessages();
  const link = useStore(useConnection().link);
  useSaidChanges(link.state);
  return (
    <span className="link-state" data-state={link.state} title={text.link[`${link.state}Text`]} data-testid="link">
      <span className="dot" aria-hidden="true" />
      {text.link[link.state]}
    </span>
  );
}

export function LostConnection() {
  const text = useMessages();
  const connection = useConnection();
  const link = useStore(connection.link);
  const lost = useRef(false);
  // A new attempt is part of the interruption: the message stays until the line is there.
  if (link.state !== 'connecting') lost.current = link.state === 'lost';
  if (!lost.current) return null;
  return (
    <Alert data-color="warning" className="banner">
      <span>{text.link.lostText}</span>
      <Button variant="secondary" data-size="sm" onClick={connection.retryNow}>
        {text.link.retry}
      </Button>
    </Alert>
  );
}

function useSaidChanges(state: Link['state']): void {
  const { link } = useMessages();
  const before = useRef<Link['state']>(state);
  useEffect(() => {
    if (state === 'connecting' || state === before.current) return;
    if (state === 'lost') announce(link.saidLost);
    else if (before.current === 'lost') announce(link.saidLive);
    before.current = state;
  }, [state, link]);
}
