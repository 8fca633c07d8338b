import { Alert, Button, Dialog, Heading, Paragraph, Radio, Table, Tag } from '@digdir/designsystemet-react';
import { useEffect, useState } from 'react';
import { useMutation } from 'urql';

import { RolesDocument, SetRoleAccessDocument, type AccessLevel, type RoleFieldsFragment as Role } from '../api/operations';
import { useQuery } from '../api/query';
import { announce } from '../live/announcements';
import { usePoll } from '../live/poll';
import { useMessages } from '../messages';
import { plain } from '../plain';
import { keepsCatalogue, useViewer } from '../session/viewer';
import { Failure } from '../ui/Failure';
import { Loading } from '../ui/Loading';
import { useTitle } from '../ui/title';
import { useWords } from '../ui/words';

const LEVELS: AccessLevel[] = ['NONE', 'MEMBER', 'PEER_MENTOR', 'COORDINATOR', 'ADMIN'];
const POLL_MS = 5_000;

export function Roles() {
  const text = useMessages();
  const words = useWords();
  const keeper = keepsCatalogue(useViewer());
  const [{ data, error }, ask] = useQuery({ query: RolesDocument, requestPolicy: 'cache-and-network' });
  const refresh = (): void => ask({ requestPolicy: 'network-only' });
  const [changing, change] = useState<Role | null>(null);
  usePoll(refresh, POLL_MS);
  useTitle(text.catalogue.title);

  if (error && !data) return <Failure error={error} onRetry={refresh} />;
  if (!data) return <Loading />;
  const undecided = data.roles.filter(({ decided }) => !decided).length;
  const roles = data.roles.toSorted((a, b) => Number(a.decided) - Number(b.decided));

  return (
    <>
      <Heading level={1} data-size="lg">
        {text.catalogue.title}
      </Heading>
      <Paragraph className="lead">
        {text.catalogue.lead} {!keeper && text.catalogue.readOnly}
      </Paragraph>
      {undecided > 0 && (
        <Alert data-color="warning" className="notice">
          <strong>{text.catalogue.undecidedTitle(undecided)}</strong> {text.catalogue.undecidedText}
        </Alert>
      )}
      <Table data-size="sm" data-color="neutral" border className="catalogue" data-testid="catalogue" aria-label={text.catalogue.table}>
        <Table.Head>
          <Table.Row>
            <Table.HeaderCell>{text.catalogue.role}</Table.HeaderCell>
            <Table.HeaderCell className="wide">{text.catalogue.code}</Table.HeaderCell>
            <Table.HeaderCell>{text.catalogue.access}</Table.HeaderCell>
            <Table.HeaderCell className="wide figure">{text.catalogue.holders}</Table.HeaderCell>
            {keeper && (
              <Table.HeaderCell className="action">
                <span className="ds-sr-only">{text.catalogue.change}</span>
              </Table.HeaderCell>
            )}
          </Table.Row>
        </Table.Head>
        <Table.Body>
          {roles.map((role) => (
            <Table.Row key={role.id} data-role={role.code} data-undecided={role.decided ? undefined : ''}>
              <Table.Cell>
                <span className="name">{words.role(role)}</span>
                {!role.decided && (
                  <Tag data-color="warning" data-size="sm" className="new">
                    {text.catalogue.undecided}
                  </Tag>
                )}
              </Table.Cell>
              <Table.Cell className="wide">
                <code>{plain(role.code)}</code>
              </Table.Cell>
              <Table.Cell>{text.access[role.accessLevel]}</Table.Cell>
              <Table.Cell className="wide figure">{role.holderCount.toLocaleString(text.locale)}</Table.Cell>
              {keeper && (
                <Table.Cell className="action">
                  <Button
                    data-color="accent"
                    variant={role.decided ? 'tertiary' : 'primary'}
                    data-size="sm"
                    aria-label={`${role.decided ? text.catalogue.change : text.catalogue.decide}: ${words.role(role)}`}
                    onClick={() => change(role)}
                  >
                    {role.decided ? text.catalogue.change : text.catalogue.decide}
                  </Button>
                </Table.Cell>
              )}
            </Table.Row>
          ))}
        </Table.Body>
      </Table>
      {changing && <AccessDialog key={changing.id} role={changing} onClose={() => change(null)} />}
    </>
  );
}

/** Says how many it touches before it is done. */
function AccessDialog({ role, onClose }: { role: Role; onClose: () => void }) {
  const text = useMessages();
  const words = useWords();
  const [level, choose] = useState<AccessLevel>(role.accessLevel);
  const [{ fetching, error, data: result }, set] = useMutation(SetRoleAccessDocument);
  const [{ data }, ask] = useQuery({ query: RolesDocument });
  const holders = data?.roles.find(({ id }) => id === role.id)?.holderCount ?? role.holderCount;
  const same = level === role.accessLevel;
  const refused = result?.setRoleAccess.__typename;

  // The number that is decided by is one of now.
  useEffect(() => ask({ requestPolicy: 'network-only' }), [ask]);

  const save = async (): Promise<void> => {
    const result = await set({ input: { code: role.code, accessLevel: level } });
    if (result.data?.setRoleAccess.__typename !== 'SetRoleAccessSuccess') return;
    announce(text.catalogue.done(words.role(role), text.access[level]));
    onClose();
  };

  return (
    <Dialog open onClose={onClose} closeButton={text.catalogue.cancel} aria-labelledby="access-title">
      <Dialog.Block>
        <Heading level={2} data-size="sm" id="access-title">
          {text.catalogue.dialog(words.role(role))}
        </Heading>
      </Dialog.Block>
      <Dialog.Block>
        <fieldset className="levels">
          <legend>{text.catalogue.newAccess}</legend>
          {LEVELS.map((value) => (
            <Radio
              key={value}
              name="level"
              value={value}
              label={text.access[value]}
              description={value === 'NONE' ? undefined : text.catalogue.levels[value]}
              checked={level === value}
              onChange={() => choose(value)}
            />
          ))}
        </fieldset>
        <Alert data-color={same || holders === 0 ? 'info' : 'warning'} data-testid="affected" role="status">
          {holders === 0 ? text.catalogue.nobody : same ? text.catalogue.same(holders) : text.catalogue.affects(holders)}
        </Alert>
        {refused === 'LastAdministratorError' && (
          <Alert data-color="danger" role="alert" data-testid="last-administrator">
            {text.catalogue.lastAdministrator}
          </Alert>
        )}
        {refused === 'RoleNotFoundError' && (
          <Alert data-color="danger" role="alert">
            {text.catalogue.notFound}
          </Alert>
        )}
        {error && <Failure error={error} onRetry={() => void save()} />}
      </Dialog.Block>
      <Dialog.Block className="actions">
        <Button loading={fetching} disabled={same && role.decided} onClick={() => void save()}>
          {same ? text.catalogue.keep : text.catalogue.confirm}
        </Button>
        <Button variant="secondary" onClick={onClose}>
          {text.catalogue.cancel}
        </Button>
      </Dialog.Block>
    </Dialog>
  );
}
