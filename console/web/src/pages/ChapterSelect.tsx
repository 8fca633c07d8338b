import { Field, Label, Select } from '@digdir/designsystemet-react';

import { useMessages } from '../messages';
import { useChapters } from './organizations';
import { usePlace } from './place';

/** A chapter, which stands for those below it as well. */
export function ChapterSelect() {
  const text = useMessages();
  const place = usePlace();
  const chapters = useChapters();
  return (
    <Field>
      <Label>{text.members.chapter}</Label>
      <Select value={place.get('lag') ?? ''} onChange={({ target }) => place.show({ lag: target.value })}>
        <Select.Option value="">{text.members.allChapters}</Select.Option>
        {chapters.map(({ id, name, depth }) => (
          <Select.Option key={id} value={id}>
            {'\u00a0\u00a0\u00a0'.repeat(depth) + (name ?? text.members.unnamed)}
          </Select.Option>
        ))}
      </Select>
    </Field>
  );
}
