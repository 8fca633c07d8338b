import { Alert, Button, Card, Heading, Paragraph, Textfield } from '@digdir/designsystemet-react';
import { ChevronRightIcon } from '@navikt/aksel-icons';
import { useState } from 'react';

import { useMessages } from '../messages';
import { LanguageChoice } from '../ui/choices';
import { Brand } from '../ui/Brand';
import { useTitle } from '../ui/title';
import { be, signInByOidc, signInByToken, type Trouble } from './session';
import type { Ways } from './ways';

export function SignIn({ ways, trouble }: { ways: Ways; trouble?: Trouble }) {
  const text = useMessages();
  const [leaving, leave] = useState(false);
  useTitle(text.signIn.title);

  return (
    <div className="sign-in">
      <header>
        <Brand />
        <LanguageChoice />
      </header>
      <main>
        <Card>
          <Card.Block>
            <Heading level={1} data-size="md">
              {text.signIn.title}
            </Heading>
            <Paragraph>{text.signIn.lead}</Paragraph>
            {trouble && (
              <Alert data-color={trouble === 'expired' ? 'info' : 'warning'} role="alert">
                {text.signIn.trouble[trouble]}
              </Alert>
            )}
            {ways.oidc && (
              <Button
                loading={leaving}
                onClick={() => {
                  leave(true);
                  void signInByOidc(ways).finally(() => leave(false));
                }}
              >
                {text.signIn.oidc}
              </Button>
            )}
          </Card.Block>
          {ways.people && (
            <Card.Block>
              <Heading level={2} data-size="xs">
                {text.signIn.as}
              </Heading>
              <Paragraph data-size="sm">{text.signIn.asLead}</Paragraph>
              <ul className="people">
                {ways.people.map((person) => (
                  <li key={person.name}>
                    <Button variant="secondary" onClick={() => be(ways, person)}>
                      <span>
                        <strong>{person.name ?? text.signIn.operator}</strong>
                        <small>
                          {person.name === null
                            ? text.signIn.operatorPlace
                            : [text.access[person.accessLevel], person.organization].filter(Boolean).join(', ')}
                        </small>
                      </span>
                      <ChevronRightIcon aria-hidden fontSize="1.5rem" />
                    </Button>
                  </li>
                ))}
              </ul>
            </Card.Block>
          )}
          {!ways.oidc && trouble !== 'unreachable' && (
            <Card.Block>
              <TokenForm ways={ways} />
            </Card.Block>
          )}
        </Card>
      </main>
    </div>
  );
}

/** Where the service has no identity provider for the console, somebody who has a token pastes it. */
function TokenForm({ ways }: { ways: Ways }) {
  const text = useMessages().signIn;
  const [token, setToken] = useState('');

  return (
    <form
      className="token-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (token.trim()) signInByToken(ways, token);
      }}
    >
      <Textfield
        label={text.token}
        description={text.tokenHelp}
        // No password field, since browsers offer to keep passwords.
        autoComplete="off"
        spellCheck={false}
        value={token}
        onChange={(event) => setToken(event.target.value)}
      />
      <Button type="submit" variant="secondary">
        {text.useToken}
      </Button>
    </form>
  );
}
