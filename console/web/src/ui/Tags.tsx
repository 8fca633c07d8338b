import { Tag } from '@digdir/designsystemet-react';

import type { ActivationState } from '../api/operations';
import { useMessages } from '../messages';

export function StateTag({ state }: { state: ActivationState }) {
  const text = useMessages();
  return <Tag data-color={state === 'ACTIVE' ? 'success' : 'neutral'}>{text.state[state]}</Tag>;
}

/** A role's name where we have one in the viewer's language, else as the catalogue has it. */
export function useRoleName(): (role: { code: string; name: string }) => string {
  const { roles } = useMessages();
  return ({ code, name }) => roles[code] ?? name;
}
