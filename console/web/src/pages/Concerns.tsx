import { Alert, Button, Heading, Link, Paragraph, Tag } from '@digdir/designsystemet-react';
import { useState } from 'react';
import { Link as To } from 'wouter';

import type { ConcernFieldsFragment } from '../api/operations';
import { useMessages } from '../messages';
import { keepsConcerns, useViewer } from '../session/viewer';
import { Ago } from '../ui/Time';
import { REPLAYABLE, placeOf, sentence } from '../ui/concerns';
import { ConcernDialog } from './ConcernDialog';
import { ReplayDialog } from './ReplayDialog';

interface Props {
  concerns: ConcernFieldsFragment[];
  onChange: () => void;
}

/** What has to be looked after: what it is, what to do, and who has taken it on. */
export function Concerns({ concerns, onChange }: Props) {
  const text = useMessages();
  return (
    <Alert
      data-color={concerns.some(({ state }) => state === 'OPEN') ? 'danger' : 'warning'}
      className="notice"
      data-testid="verdict"
    >
      <Heading level={2} data-size="2xs">
        {text.health.notWell}
      </Heading>
      <ul className="concerns">
        {concerns.map((concern) => (
          <Concern key={concern.id} concern={concern} onChange={onChange} />
        ))}
      </ul>
    </Alert>
  );
}

function Concern({ concern, onChange }: { concern: ConcernFieldsFragment; onChange: () => void }) {
  const text = useMessages();
  const viewer = useViewer();
  const [open, show] = useState<'acknowledge' | 'replay' | null>(null);
  const place = placeOf(concern);
  const taken = concern.state === 'ACKNOWLEDGED';

  return (
    <li data-testid={`concern-${concern.kind}`}>
      <Paragraph>
        <strong>{sentence(concern, text)}</strong> {text.health.concerns[concern.kind].advice}
      </Paragraph>
      <Paragraph data-size="sm" className="aside">
        {concern.since && (
          <>
            {text.concern.since} <Ago at={concern.since} />{' '}
          </>
        )}
        {taken && <Tag data-color="info">{text.concern.taken(concern.acknowledgedBy ?? '')}</Tag>}
      </Paragraph>
      <div className="actions">
        {place && (
          <Link asChild>
            <To href={place}>{place.startsWith('/logg') ? text.health.seeEntries : text.concern.look}</To>
          </Link>
        )}
        {REPLAYABLE.has(concern.kind) && (
          <Button variant="secondary" data-size="sm" onClick={() => show('replay')}>
            {text.concern.replay}
          </Button>
        )}
        {!taken && keepsConcerns(viewer) && (
          <Button variant="secondary" data-size="sm" onClick={() => show('acknowledge')}>
            {text.concern.acknowledge}
          </Button>
        )}
      </div>
      {open === 'acknowledge' && <ConcernDialog concern={concern} onClose={() => show(null)} onDone={onChange} />}
      {open === 'replay' && (
        <ReplayDialog
          selection={{ kind: 'concern', concernId: concern.id }}
          onClose={() => show(null)}
          onDone={onChange}
        />
      )}
    </li>
  );
}
