import { Label, Select, ToggleGroup } from '@digdir/designsystemet-react';
import { useId } from 'react';

import { useMessages } from '../messages';
import { language, theme, type Language, type Theme } from '../preferences';
import { useStore } from '../store';

export function LanguageChoice() {
  const text = useMessages();
  return (
    <ToggleGroup
      data-size="sm"
      variant="secondary"
      aria-label={text.menu.language}
      value={useStore(language)}
      onChange={(value) => language.set(value as Language)}
    >
      <ToggleGroup.Item value="nb" lang="nb">
        Norsk
      </ToggleGroup.Item>
      <ToggleGroup.Item value="en" lang="en">
        English
      </ToggleGroup.Item>
    </ToggleGroup>
  );
}

export function ThemeChoice() {
  const text = useMessages();
  const id = useId();
  return (
    <div className="choice">
      <Label htmlFor={id}>{text.menu.theme}</Label>
      <Select
        id={id}
        data-size="sm"
        value={useStore(theme)}
        onChange={({ target }) => theme.set(target.value as Theme)}
      >
        {(['auto', 'light', 'dark'] as const).map((value) => (
          <Select.Option key={value} value={value}>
            {text.menu.themes[value]}
          </Select.Option>
        ))}
      </Select>
    </div>
  );
}
