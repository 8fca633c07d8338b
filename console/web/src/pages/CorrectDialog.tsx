import { Alert, Button, Checkbox, Dialog, Field, Heading, Label, Paragraph, Select, Textfield } from '@digdir/designsystemet-react';
import { useState, type ReactNode } from 'react';
import { useMutation } from 'urql';

import {
  CorrectMembershipDocument,
  RolesDocument,
  type CorrectedRoleInput,
  type CorrectMembershipInput,
  type MemberQuery,
} from '../api/operations';
import { useQuery } from '../api/query';
import { announce } from '../live/announcements';
import { useMessages } from '../messages';
import { Failure } from '../ui/Failure';
import { useWords } from '../ui/words';
import { useChapters } from './organizations';

type Found = NonNullable<MemberQuery['member']>;
type Held = Found['roles'][number];

const PROFILE = ['givenName', 'familyName', 'memberNumber', 'email', 'phone'] as const;
const LONGEST_REASON = 1000;

/** Tries the correction out first and shows what it would change; then makes it, if that is wanted. */
export function CorrectDialog({ member, onClose }: { member: Found; onClose: () => void }) {
  const text = useMessages();
  const words = useWords();
  const [profile, setProfile] = useState(() => Object.fromEntries(PROFILE.map((name) => [name, member[name] ?? ''])));
  const [state, setState] = useState(member.state);
  const [home, setHome] = useState(member.organization?.portalId ?? '');
  const [roles, setRoles] = useState(() => heldBy(member));
  const [reason, explain] = useState('');
  const [trial, tryOut] = useMutation(CorrectMembershipDocument);
  const [run, correct] = useMutation(CorrectMembershipDocument);
  const [shown, show] = useState(false);

  const input = { ...stated(member, profile, state, home, roles), reason };
  const attempt = async (): Promise<void> => {
    const { data } = await tryOut({ input: { ...input, dryRun: true } });
    show(data?.correctMembership.__typename === 'CorrectMembershipSuccess');
  };
  const go = async (): Promise<void> => {
    const { data } = await correct({ input });
    if (data?.correctMembership.__typename !== 'CorrectMembershipSuccess') return;
    announce(text.correct.done(member.displayName));
    onClose();
  };

  const expected = trial.data?.correctMembership;
  const answer = run.data?.correctMembership ?? expected;
  return (
    <Dialog open onClose={onClose} closeButton={text.correct.cancel} aria-labelledby="correct-title">
      <Dialog.Block>
        <Heading level={2} data-size="sm" id="correct-title">
          {text.correct.title(member.displayName)}
        </Heading>
        <Paragraph data-size="sm">{text.correct.explain}</Paragraph>
      </Dialog.Block>
      <Dialog.Block className="correction">
        {shown && expected?.__typename === 'CorrectMembershipSuccess' ? (
          <div data-testid="correction">
            <Paragraph>
              <strong>{text.correct.expected}</strong>
            </Paragraph>
            <ul>
              {expected.changes.map(({ field, before, after }) => (
                <li key={field}>
                  {words.field(field)}: <del>{words.value(field, before) ?? text.none}</del>{' '}
                  <ins>{words.value(field, after) ?? text.none}</ins>
                </li>
              ))}
            </ul>
            <Paragraph data-size="sm">{text.correct.stands}</Paragraph>
          </div>
        ) : (
          <>
            {PROFILE.map((name) => (
              <Textfield
                key={name}
                label={text.fields[name]}
                value={profile[name]}
                onChange={({ target }) => setProfile({ ...profile, [name]: target.value })}
              />
            ))}
            <Choice label={text.fields.state} value={state} onChange={(value) => setState(value as Found['state'])}>
              <Select.Option value="ACTIVE">{text.state.ACTIVE}</Select.Option>
              <Select.Option value="INACTIVE">{text.state.INACTIVE}</Select.Option>
            </Choice>
            <HomeChoice value={home} onChange={setHome} />
            <RoleChoice member={member} chosen={roles} onChange={setRoles} />
            <Textfield
              label={text.correct.reason}
              description={text.correct.reasonHelp}
              required
              maxLength={LONGEST_REASON}
              value={reason}
              onChange={({ target }) => explain(target.value)}
            />
          </>
        )}
        {answer && answer.__typename !== 'CorrectMembershipSuccess' && (
          <Alert data-color="warning" role="alert" data-testid="refused">
            {text.correct.refused[answer.code] ?? text.failure.text}
          </Alert>
        )}
        {trial.error && <Failure error={trial.error} onRetry={() => void attempt()} />}
        {run.error && <Failure error={run.error} onRetry={() => void go()} />}
      </Dialog.Block>
      <Dialog.Block className="actions">
        {shown ? (
          <Button loading={run.fetching} onClick={() => void go()}>
            {text.correct.go}
          </Button>
        ) : (
          <Button loading={trial.fetching} onClick={() => void attempt()}>
            {text.correct.show}
          </Button>
        )}
        <Button variant="secondary" onClick={shown ? () => show(false) : onClose}>
          {shown ? text.correct.back : text.correct.cancel}
        </Button>
      </Dialog.Block>
    </Dialog>
  );
}

function Choice(props: { label: string | undefined; value: string; onChange: (value: string) => void; children: ReactNode }) {
  return (
    <Field>
      <Label>{props.label}</Label>
      <Select value={props.value} onChange={({ target }) => props.onChange(target.value)}>
        {props.children}
      </Select>
    </Field>
  );
}

function HomeChoice({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const text = useMessages();
  const chapters = useChapters();
  return (
    <Choice label={text.fields.organization} value={value} onChange={onChange}>
      <Select.Option value="">{text.correct.noHome}</Select.Option>
      {chapters.map(({ id, portalId, name, depth }) => (
        <Select.Option key={id} value={portalId}>
          {'\u00a0\u00a0\u00a0'.repeat(depth) + (name ?? text.members.unnamed)}
        </Select.Option>
      ))}
    </Choice>
  );
}

/** The roles that the member holds anywhere, and those of the catalogue, which can be given at home. */
function RoleChoice(props: { member: Found; chosen: Set<string>; onChange: (chosen: Set<string>) => void }) {
  const { member, chosen, onChange } = props;
  const text = useMessages();
  const words = useWords();
  const [{ data }] = useQuery({ query: RolesDocument });
  const elsewhere = member.roles.filter((held) => !keyOf(member, held).endsWith(' '));
  const choices = [
    ...(data?.roles ?? []).map((role) => [`${role.code} `, words.role(role), text.member.homeChapter] as const),
    ...elsewhere.map(
      (held) =>
        [keyOf(member, held), words.role(held.role), held.organization?.name ?? text.members.unnamed] as const,
    ),
  ];
  return (
    <fieldset className="levels">
      <legend>{text.fields.roles}</legend>
      {choices.map(([key, role, place]) => (
        <Checkbox
          key={key}
          label={`${role} (${place})`}
          checked={chosen.has(key)}
          onChange={({ target }) => {
            const now = new Set(chosen);
            if (target.checked) now.add(key);
            else now.delete(key);
            onChange(now);
          }}
        />
      ))}
    </fieldset>
  );
}

/** The code and the portal id of the chapter, which is empty for a role that is held at home. */
function keyOf(member: Found, { role, organization }: Held): string {
  const away = organization && organization.portalId !== member.organization?.portalId;
  return `${role.code} ${away ? organization.portalId : ''}`;
}

function heldBy(member: Found): Set<string> {
  return new Set(member.roles.map((held) => keyOf(member, held)));
}

/** Only what is to be other than it is. */
function stated(
  member: Found,
  profile: Record<string, string>,
  state: Found['state'],
  home: string,
  roles: Set<string>,
): Omit<CorrectMembershipInput, 'reason'> {
  const held = heldBy(member);
  const sameRoles = held.size === roles.size && [...held].every((key) => roles.has(key));
  const changed = PROFILE.filter((name) => (profile[name] ?? '').trim() !== (member[name] ?? ''));
  return {
    portalId: member.portalId,
    ...(state !== member.state && { state }),
    ...(home !== (member.organization?.portalId ?? '') && { organizationPortalId: home || null }),
    ...(!sameRoles && { roles: [...roles].map(roleOf) }),
    ...(changed.length > 0 && { profile: Object.fromEntries(changed.map((name) => [name, profile[name]?.trim() || null])) }),
  };
}

function roleOf(key: string): CorrectedRoleInput {
  const at = key.lastIndexOf(' ');
  return { code: key.slice(0, at), organizationPortalId: key.slice(at + 1) || null };
}
