import { Button, Popover } from '@digdir/designsystemet-react';
import { ChevronDownIcon, PersonIcon } from '@navikt/aksel-icons';
import { useEffect, useRef } from 'react';
import { Link, useLocation } from 'wouter';

import { useMessages } from '../messages';
import { signOut } from '../session/session';
import { Brand } from '../ui/Brand';
import { LanguageChoice, ThemeChoice } from '../ui/choices';
import { ConnectionState } from './ConnectionState';
import { isOperator, managesSources, readsLog, useViewer } from '../session/viewer';

export function Header() {
  return (
    <header className="header">
      <div className="bar">
        <Link href="/" className="home">
          <Brand />
        </Link>
        <ConnectionState />
        <Menu />
      </div>
      <Navigation />
    </header>
  );
}

function Navigation() {
  const text = useMessages();
  const viewer = useViewer();
  const administers = readsLog(viewer);
  const [path] = useLocation();
  const list = useRef<HTMLUListElement>(null);
  const pages = [
    { address: '/medlemmer', name: text.nav.members, shown: true },
    { address: '/logg', name: text.nav.log, shown: administers },
    { address: '/driftsstatus', name: text.nav.health, shown: administers },
    { address: '/kilder', name: text.nav.sources, shown: managesSources(viewer) },
    { address: '/roller', name: text.nav.roles, shown: true },
  ].filter(({ shown }) => shown);

  // On a narrow screen the list is wider than the window.
  useEffect(() => {
    list.current?.querySelector('[aria-current]')?.scrollIntoView({ inline: 'nearest', block: 'nearest' });
  }, [path]);

  return (
    <nav aria-label={text.nav.label}>
      <ul ref={list}>
        {pages.map(({ address, name }) => (
          <li key={address}>
            <Link href={address} aria-current={isHere(path, address) ? 'page' : undefined}>
              {name}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function isHere(path: string, address: string): boolean {
  return path === address || path.startsWith(`${address}/`) || (path === '/' && address === '/medlemmer');
}

function Menu() {
  const text = useMessages();
  const viewer = useViewer();
  const name = viewer.member?.displayName ?? text.menu.operator;
  return (
    <Popover.TriggerContext>
      <Popover.Trigger variant="tertiary" data-size="sm" className="menu-button">
        <PersonIcon aria-hidden fontSize="1.5rem" />
        <span className="menu-name">{name}</span>
        <ChevronDownIcon aria-hidden fontSize="1.25rem" />
      </Popover.Trigger>
      <Popover placement="bottom-end" className="menu" data-size="sm">
        <p className="who">
          <strong>{name}</strong>
          <small>{isOperator(viewer) ? text.signIn.operatorPlace : text.access[viewer.accessLevel]}</small>
        </p>
        <ThemeChoice />
        <LanguageChoice />
        <Button variant="secondary" data-size="sm" onClick={() => void signOut()}>
          {text.menu.signOut}
        </Button>
      </Popover>
    </Popover.TriggerContext>
  );
}
