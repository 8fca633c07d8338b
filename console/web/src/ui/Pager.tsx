import { Button, Label, Select } from '@digdir/designsystemet-react';
import { ChevronLeftIcon, ChevronRightIcon } from '@navikt/aksel-icons';
import { useId } from 'react';

import { useMessages } from '../messages';

const SIZES = [25, 50, 100] as const;
export const DEFAULT_SIZE = 50;

interface Props {
  position: string;
  size: number;
  onSize: (size: number) => void;
  previous?: string;
  next?: string;
  onPrevious: (() => void) | null;
  onNext: (() => void) | null;
}

export function Pager({ position, size, onSize, previous, next, onPrevious, onNext }: Props) {
  const { pager } = useMessages();
  const id = useId();
  return (
    <nav className="pager" aria-label={pager.label} data-size="sm">
      <span className="position">{position}</span>
      <span className="steps">
        <Button variant="secondary" disabled={onPrevious === null} onClick={onPrevious ?? undefined}>
          <ChevronLeftIcon aria-hidden fontSize="1.25rem" />
          {previous ?? pager.previous}
        </Button>
        <Button variant="secondary" disabled={onNext === null} onClick={onNext ?? undefined}>
          {next ?? pager.next}
          <ChevronRightIcon aria-hidden fontSize="1.25rem" />
        </Button>
      </span>
      <span className="size">
        <Label htmlFor={id}>{pager.size}</Label>
        <Select id={id} width="auto" value={size} onChange={({ target }) => onSize(Number(target.value))}>
          {SIZES.map((value) => (
            <Select.Option key={value} value={value}>
              {value}
            </Select.Option>
          ))}
        </Select>
      </span>
    </nav>
  );
}
