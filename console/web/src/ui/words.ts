/** The portal's codes in the viewer's words, and as they came where we have none. */
import { useMessages } from '../messages';
import { plain } from '../plain';

export function useWords() {
  const { roles, events, fields, state, unknownEvent, details, inChapter } = useMessages();

  const rolesIn = (value: string): string =>
    // As the service writes them: `code (chapter), code`.
    value.replace(/(^|, )([a-z0-9-]+)(?= \(|, |$)/g, (_all, before: string, code: string) => before + (roles[code] ?? code));

  return {
    role: ({ code, name }: { code: string; name: string }): string => roles[code] ?? name,
    event: (type: string | null): string => (type === null ? unknownEvent : (events[type] ?? plain(type))),
    detail: (remark: string): string => details.reduce((said, [known, ours]) => said.replace(known, ours), remark),
    /** As a comparison writes them: `code@chapter|code`. */
    statedRoles: (value: string | null): string | null =>
      value === null
        ? null
        : value
            .split('|')
            .map((each) => each.split('@'))
            .map(([code = '', chapter]) => (roles[code] ?? plain(code)) + (chapter ? ` (${inChapter})` : ''))
            .join(', '),
    field: (name: string): string => fields[name] ?? name,
    value: (field: string, value: string | null): string | null => {
      if (value === null) return null;
      if (field === 'state' && value in state) return state[value as keyof typeof state];
      return field === 'roles' ? rolesIn(value) : value;
    },
  };
}
