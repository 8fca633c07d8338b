import { Button, Switch } from '@digdir/designsystemet-react';

import { useMessages } from '../messages';
import { paused } from '../preferences';
import { useStore } from '../store';

/** The switch that makes lists stand still, and what has happened meanwhile. */
export function News({ waiting, onShow }: { waiting: number; onShow: () => void }) {
  const text = useMessages();
  const still = useStore(paused) === 'yes';
  return (
    <div className="news" data-size="sm">
      <Switch
        label={text.news.pause}
        checked={still}
        onChange={({ target }) => {
          paused.set(target.checked ? 'yes' : 'no');
          if (!target.checked && waiting > 0) onShow();
        }}
      />
      <span role="status">
        {waiting > 0 && (
          <Button variant="secondary" onClick={onShow} data-testid="news">
            {text.news.show(waiting)}
          </Button>
        )}
      </span>
    </div>
  );
}
